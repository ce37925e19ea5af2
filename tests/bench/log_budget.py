"""What tamper evidence may cost: five limits, each measured against its own; the worst one counts.

Processor time is taken, not time of day, and of repeated things the best: what else runs on the
machine is no cost of ours. Storage is all that the store takes beyond the payloads.
"""

import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from bridge.eventlog.merkle import prove_consistency, prove_inclusion
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.bench.log_search import BATCH, order_drafts
from tests.eventlog.exporting.orders import make_signer

NAME = "log_budget"
EVENTS = 20_000
REPEATS = 15


class Limit(NamedTuple):
    """A promise and what was measured."""

    unit: str
    most: float
    found: float


def measure() -> dict[str, Limit]:
    """Return each limit with its figure."""
    batches = [order_drafts(start, BATCH) for start in range(0, EVENTS, BATCH)]
    payload_bytes = sum(len(draft.payload) for batch in batches for draft in batch)
    with tempfile.TemporaryDirectory(prefix="lb-bench-") as name:
        folder = Path(name)
        with closing(SqliteEventLog(folder / "log.db")) as log:
            append_s = min(_cpu_s(lambda batch=batch: log.append(batch)) for batch in batches)  # type: ignore[misc] # bound now
            head_signer = HeadSigner(make_signer(folder), log)
            sign_s = min(_cpu_s(head_signer.sign) for _ in range(REPEATS))
            size, hashes = log.head().size, StoredHashes(log)
            # The last entry's tile is open, which is the dearest case.
            proofs: list[Callable[[], object]] = [
                lambda: prove_inclusion(hashes, size - 1, size),
                lambda: prove_inclusion(hashes, size // 3, size),
                lambda: prove_consistency(hashes, size // 3, size),
            ]
            proof_s = max(min(_cpu_s(proof) for _ in range(REPEATS)) for proof in proofs)
            [(pages,)] = log._reader.execute("PRAGMA page_count")
            [(page_bytes,)] = log._reader.execute("PRAGMA page_size")
    return {
        "append": Limit("us of CPU per event", 150, append_s / BATCH * 1e6),
        "sequenced": Limit("us per event, for 5,000/s and core", 200, append_s / BATCH * 1e6),
        "storage": Limit(
            "bytes beside the payload", 1_200, (pages * page_bytes - payload_bytes) / EVENTS
        ),
        "checkpoint": Limit("ms", 1, sign_s * 1_000),
        "proof": Limit("ms", 5, proof_s * 1_000),
    }


def run() -> dict[str, Any]:
    """Measure, and return the row for the table."""
    found = measure()
    shares = {name: limit.found / limit.most for name, limit in found.items()}
    worst = max(shares, key=lambda name: shares[name])
    return {
        "name": NAME,
        "value": round(found[worst].found, 3),
        "unit": f"{found[worst].unit} ({worst})",
        "against": "its limit",
        "against_value": found[worst].most,
        "ratio": round(shares[worst], 3),
        "target": 1.0,
        "moonshot": 0.5,
        "better": "lower",
        "runs": REPEATS,
        "spread": ", ".join(f"{name} {share:.2f}" for name, share in shares.items()),
        "details": {name: limit._asdict() for name, limit in found.items()},
    }


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    print(run())
