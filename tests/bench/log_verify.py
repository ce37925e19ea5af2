"""Offline verification of an export: leaves for each second of the verifier's processor time.

The verifier runs as an auditor runs it, as a process of its own, start-up and signatures included.
It uses one core and waits for nothing, so its processor time is what it takes on a machine that
does nothing else. The target is absolute, 200,000 leaves/s, and the ratio is to that; how fast bare
SHA-256 goes over the same bundle in the same run is told beside it.
"""

import resource
import statistics
import subprocess
import tempfile
import time
from hashlib import file_digest
from pathlib import Path
from typing import Any

from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.verify_bundle import VERIFIED, VERIFIER, verify_bundle
from bridge.storage.event_log.memory import MemoryEventLog
from tests.bench.log_append import make_drafts
from tests.eventlog.exporting.orders import make_bundle

NAME = "log_verify"
RUNS = 5
LEAVES_PER_S_WANTED = 200_000
# The independent implementation for Node.js; its compiler's threads count as its time.
SECOND = VERIFIER.with_name("verify.mjs")


def _children_s() -> float:
    """Return the processor time of the processes that ended so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run() -> dict[str, Any]:
    """Measure, and return the row for the table."""
    with tempfile.TemporaryDirectory(prefix="lb-bench-") as name:
        folder = Path(name)
        log = MemoryEventLog()
        drafts = make_drafts()
        for copy in range(8):  # Long enough that the start of Python hardly counts.
            log.append([draft._replace(entry_id=f"{copy}:{draft.entry_id}") for draft in drafts])
        signer = Signer.load_or_create(folder / "log.key", origin="bench.example/log")
        report = make_bundle(log, signer, folder / "bundle")
        rates, others, limits = [], [], []
        for _ in range(RUNS):
            before_s = _children_s()
            verdict = verify_bundle(report.folder, report.keys[0])
            rates.append(report.head.size / (_children_s() - before_s))
            assert verdict.exit_code == VERIFIED, verdict.text
            before_s = _children_s()
            command = ["node", str(SECOND), str(report.folder), "--key", report.keys[0]]
            subprocess.run(command, capture_output=True, check=True)
            others.append(report.head.size / (_children_s() - before_s))
            started_s = time.process_time()
            for path in report.folder.iterdir():
                with path.open("rb") as file:
                    file_digest(file, "sha256")
            limits.append(report.head.size / (time.process_time() - started_s))
    rate = statistics.median(rates)
    ratios = [each / LEAVES_PER_S_WANTED for each in rates]
    return {
        "name": NAME,
        "value": round(rate),
        "unit": "leaves/CPU-s",
        "against": "the 200,000 leaves/s wanted",
        "against_value": LEAVES_PER_S_WANTED,
        "ratio": round(rate / LEAVES_PER_S_WANTED, 3),
        "target": 1.0,
        "moonshot": 2.0,
        "runs": RUNS,
        "spread": f"{min(ratios):.3f}-{max(ratios):.3f}",
        "leaves_per_s_of_the_second_verifier": round(statistics.median(others)),
        "leaves_per_s_of_bare_sha256": round(statistics.median(limits)),
    }


if __name__ == "__main__":
    print(run())
