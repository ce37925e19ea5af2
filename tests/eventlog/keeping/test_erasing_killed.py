"""An erasure that is killed at any step is carried on, once, and certified only when complete."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bridge.eventlog.signing.note import open_note
from bridge.model.entry import EntryKind
from bridge.runtime.wiring.erasing import KeepingService, certificate_path
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import fill, settings
from tests.eventlog.keeping.test_erasing import erase, readable
from tests.eventlog.keeping.test_key_store_conformance import in_files
from tests.eventlog.keeping.victim import STEPS
from tests.test_tidy import PROJECT
from tests.waiting import RecordingObserver

# Each differs from the others in what is durable; the rest of them say the same again.
USUAL = {
    "last-trace-before",
    "entry-before",
    "entry-after",
    "certificate-after",
}
POINTS = [
    pytest.param(point, marks=() if point in USUAL else pytest.mark.soak)
    for point in (f"{step}-{when}" for step in STEPS for when in ("before", "after"))
]


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_step(tmp_path: Path, point: str) -> None:
    with Stores(settings(tmp_path)) as stores:
        fill(stores, 3)
        person = stores.keeping().pseudonyms.person("customer", "2")
        (key,) = stores.keeping().store().of_subject(person)
        assert key.wrapped is not None
    command = [sys.executable, "-m", "tests.eventlog.keeping.victim", str(tmp_path), point]
    victim = subprocess.run(command, cwd=PROJECT, capture_output=True, check=False)
    assert victim.returncode == -signal.SIGKILL, victim.stderr.decode()
    with Stores(settings(tmp_path)) as stores:
        certificates = [*tmp_path.glob("data/certificates/*.certificate.txt")]
        entries = stores.event_log().read(0, 100)
        if certificates:
            assert [e.kind for e in entries].count(EntryKind.ERASURE) == 1
            assert readable(stores) == {1, 3}
        decided = point != "decision-before"
        KeepingService(stores, observer=RecordingObserver()).step()
        if not decided:
            assert readable(stores) == {1, 2, 3}
            erase(stores)
        assert readable(stores) == {1, 3}
        assert not in_files(tmp_path / "data", key.wrapped)
        entries = stores.event_log().read(0, 100)
        (entry,) = [e for e in entries if e.kind is EntryKind.ERASURE]
        told = json.loads(entry.leaf)["fields"]
        assert (told["keys"], told["events"], told["ticket"]) == ([key.key_id], 1, "DPO-7")
        assert sum(e.routing_key == "bridge.keeping.subject-erased.v1" for e in entries) == 1
        path = certificate_path(stores, entry.entry_id)
        open_note(path.read_bytes(), *stores.signer().keys)
        assert stores.keeping().store().open_erasures() == []
