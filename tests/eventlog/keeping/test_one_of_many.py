"""One person among many is erased: unreadable everywhere, proofs hold, nobody else is touched."""

import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bridge.eventlog.exporting.export import export
from bridge.eventlog.exporting.order import ExportOrder, View
from bridge.model.entry import StoredEntry
from bridge.runtime.wiring.erasing import KeepingService
from bridge.runtime.wiring.exports import export_means
from bridge.runtime.wiring.search import index_follower, open_log_index
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import data_of, email_of, fill, name_of, settings
from tests.eventlog.keeping.test_erasing import ANA, erase
from tests.test_tidy import PROJECT, VERIFIER
from tests.waiting import RecordingObserver

GONE = 777


def unsealed(stores: Stores) -> dict[int, str | None]:
    """Return the names that whoever replays or publishes the whole log gets, by customer."""
    found: dict[int, str | None] = {}
    log, start = stores.event_log(), 0
    while entries := log.read(start, 2_000):
        for entry in stores.keeping().unsealer.unsealed(entries):
            if entry.routing_key and entry.routing_key.startswith("shop."):
                row = data_of(entry)["after"]
                found[row["customer_id"]] = row.get("name")
        start = entries[-1].leaf_index + 1
    return found


def in_tree(folder: Path, *texts: str) -> list[str]:
    """Return the files below `folder` that hold one of `texts`."""
    wanted = [text.encode() for text in texts]
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and any(text in path.read_bytes() for text in wanted)
    ]


def verify(bundle: Path, stores: Stores) -> subprocess.CompletedProcess[str]:
    """Run the verifier, which has nothing of ours, over a bundle."""
    command = [sys.executable, "-I", str(PROJECT / VERIFIER), str(bundle)]
    for key in stores.signer().keys:
        command += ["--key", key.format()]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def disclosed(bundle: Path) -> set[int]:
    """Return the entries of which a bundle discloses something."""
    lines = (bundle / "disclosed.jsonl").read_text().splitlines()
    return {json.loads(line)["index"] for line in lines}


def exported(stores: Stores, folder: Path) -> Path:
    """Export the whole log with everything that can be disclosed."""
    order = ExportOrder(folder=folder, warrant=ANA, disclose=True, views=(View.JSONL,))
    export(order, export_means(stores))
    return folder


@pytest.mark.parametrize("count", [1_000, pytest.param(100_000, marks=pytest.mark.soak)])
@pytest.mark.timeout(900)
def test_one_of_many(tmp_path: Path, count: int) -> None:
    with Stores(settings(tmp_path)) as stores:
        fill(stores, count)
        everybody = set(range(1, count + 1))
        assert unsealed(stores) == {number: name_of(number) for number in everybody}
        (before,) = stores.event_log().read(GONE - 1, 1)
        old_bundle = exported(stores, tmp_path / "old-bundle")
        assert len(disclosed(old_bundle)) == count

    backup = tmp_path / "backup"
    shutil.copytree(tmp_path / "data", backup / "data")
    shutil.copytree(tmp_path / "contracts", backup / "contracts")

    with Stores(settings(tmp_path)) as stores:
        entry = erase(stores, GONE)
        check_everywhere(stores, tmp_path, entry, before, count)

    check_backup(tmp_path, backup, before)


def check_everywhere(
    stores: Stores, folder: Path, entry: StoredEntry, before: StoredEntry, count: int
) -> None:
    """Look for the person in store, index, export, and at who publishes or replays."""
    others = {number: name_of(number) for number in range(1, count + 1) if number != GONE}
    assert unsealed(stores) == {**others, GONE: None}
    assert stores.event_log().read(GONE - 1, 1) == [before]
    with closing(open_log_index(stores.settings)) as index:
        index_follower(stores, index, RecordingObserver()).catch_up()
    assert not in_tree(folder / "data", name_of(GONE), email_of(GONE))

    bundle = exported(stores, folder / "bundle")
    assert disclosed(bundle) == set(range(count)) - {GONE - 1}
    assert not in_tree(bundle, name_of(GONE), email_of(GONE))
    assert in_tree(bundle / "views", name_of(GONE + 1))
    verdict = verify(bundle, stores)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    told = json.loads(entry.leaf)["fields"]
    assert (told["events"], told["outcome"]) == (1, "done")
    # What was given away before the erasure is out of our hands, and still proves what it proved.
    verdict = verify(folder / "old-bundle", stores)
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr


def check_backup(folder: Path, backup: Path, before: StoredEntry) -> None:
    """Restore a backup from before: of the log it says nothing, of keys only until it follows."""
    restored = folder / "restored"
    shutil.copytree(backup, restored)
    shutil.copy(folder / "data" / "keys.db", restored / "data" / "keys.db")
    with Stores(settings(restored)) as stores:
        assert stores.event_log().read(GONE - 1, 1) == [before]
        (one,) = stores.keeping().unsealer.unsealed([before])
        assert "name" not in data_of(one)["after"]
    for path in (folder / "data").glob("keys.db*"):
        path.unlink()
    for path in (backup / "data").glob("keys.db*"):
        shutil.copy(path, folder / "data" / path.name)
    with Stores(settings(folder)) as stores:
        (one,) = stores.keeping().unsealer.unsealed([before])
        assert data_of(one)["after"]["name"] == name_of(GONE)
        KeepingService(stores, observer=RecordingObserver()).step()
        (one,) = stores.keeping().unsealer.unsealed([before])
        assert "name" not in data_of(one)["after"]
