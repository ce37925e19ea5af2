"""The log role as it runs: signed, published, rotated meanwhile, killed in between."""

import json
import os
import signal
from pathlib import Path

from bridge.eventlog.signing.note import VerifierKey, has_signature
from bridge.model.entry import EntryKind
from tests.cli.deployment import Deployment
from tests.eventlog.drafts import drafts
from tests.eventlog.tiles.folder_reader import FolderReader
from tests.runtime.running import running
from tests.waiting import wait_until

WITHIN_S = 60


def test_a_running_log_is_published_through_a_rotation_and_a_kill(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path, event_log={"publish_dir": "public", "sign_interval_s": 0.5})
    public = tmp_path / "public"
    with deployment.stores() as stores:
        stores.event_log().append(drafts(0, 300))

    def published(size: int, *vkeys: str) -> bool:
        if not (public / "checkpoint").exists() or FolderReader(public).size < size:
            return False
        note = (public / "checkpoint").read_bytes()
        return all(has_signature(note, VerifierKey.parse(vkey)) for vkey in vkeys)

    old = deployment.call("log", "key").out.strip()
    with running(deployment, "run", "log") as role:
        role.await_roles("log")
        # The first key's entry is written by the role.
        wait_until(lambda: published(301, old), WITHIN_S, "the first publication")
        os.kill(role.process.pid, signal.SIGKILL)
        role.process.wait()
    said = deployment.call("log", "key", "rotate", "-r", "yearly", "--ticket", "T-1")
    assert said.code == 0, said.err
    new = deployment.call("log", "key").out.split()[0]
    with deployment.stores() as stores:
        stores.event_log().append(drafts(300, 600))
    with running(deployment, "run", "log") as role:
        wait_until(lambda: published(602, old, new), WITHIN_S, "a note by both keys")
        assert role.stop() == 0
    leaves = FolderReader(public).check()
    kinds = [json.loads(leaf)["kind"] for leaf in leaves]
    assert kinds.count(EntryKind.EVENT.value) == 600
    assert kinds.count(EntryKind.KEY.value) == 2
