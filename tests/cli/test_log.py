"""`log` and `parked`: listing, the key, an export that an auditor verifies, and its tampering."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.model.entry import EntryDraft, EntryKind
from bridge.runtime.exit_codes import CONFIG
from tests.cli.deployment import Deployment, Said, call, run
from tests.eventlog.drafts import drafts

EVENT_COUNT = 30
REASON = "/after/filler: longer than [88] characters"
TIME = "2026-02-03T04:05:06Z"

PARKED = EntryDraft(
    kind=EntryKind.PARKED,
    entry_id="shop:00000000000000FF:00000000",
    fields={
        "source": "urn:legacy-bridge:shop",
        "dataschema": "urn:legacy-bridge:contract:shop.order:1.0",
        "reason": REASON,
        "time": TIME,
    },
    payload=b'{"data":{"after":{"note":"canary-of-a-payload"}}}',
)


@pytest.fixture
def logged(deployment: Deployment) -> Deployment:
    """A deployment whose log has events and one parked event in their midst."""
    append_to(deployment)
    return deployment


def append_to(deployment: Deployment) -> None:
    with deployment.stores() as stores:
        half = EVENT_COUNT // 2
        stores.event_log().append([*drafts(0, half), PARKED, *drafts(half, EVENT_COUNT)])


def test_the_head_of_an_empty_log(deployment: Deployment) -> None:
    found = deployment.call("log", "head", "--json").json()
    assert (found["size"], found["checkpoint"]) == (0, None)


def test_the_head(logged: Deployment) -> None:
    found = logged.run("log", "head", "--json").json()
    assert found["size"] == EVENT_COUNT + 1
    said = logged.call("log", "head").out
    assert said.startswith(f"{EVENT_COUNT + 1} entries, root {found['root']}")


def test_entries_are_listed_newest_by_default(logged: Deployment) -> None:
    newest = logged.call("log", "list", "--count", "5", "--json").json()
    assert [leaf["index"] for leaf in newest] == list(range(EVENT_COUNT - 4, EVENT_COUNT + 1))
    (first,) = logged.call("log", "list", "--start", "0", "--count", "1", "--json").json()
    assert first["id"] == "shop:0000000000000000:00000000"


def test_entries_are_shown_with_time_and_without_payload(logged: Deployment) -> None:
    said = logged.call("log", "list", "--count", "100").out
    assert PARKED.entry_id in said
    assert TIME in said
    assert "canary-of-a-payload" not in said


def test_beyond_the_end_there_is_nothing(logged: Deployment) -> None:
    assert logged.call("log", "list", "--start", "1000").out == "Entries: none\n"


@pytest.mark.parametrize("start", ["-1", str(2**64), "x"])
def test_an_impossible_start_is_told(logged: Deployment, start: str) -> None:
    said = logged.call("log", "list", "--start", start)
    assert said.code == 2
    assert "--start" in said.err


def test_parked_events_say_why(logged: Deployment) -> None:
    (found,) = logged.run("parked", "list", "--json").json()
    assert found == {
        "index": EVENT_COUNT // 2,
        "id": PARKED.entry_id,
        "dataschema": "urn:legacy-bridge:contract:shop.order:1.0",
        "reason": REASON,
        "time": TIME,
    }
    said = logged.call("parked", "list").out
    assert REASON in said
    assert "canary-of-a-payload" not in said


def test_no_parked_events(deployment: Deployment) -> None:
    assert deployment.call("parked", "list").out == "Parked events: none\n"
    assert deployment.call("parked", "list", "--json").json() == []


class Bundle:
    """A copy of an exported bundle, and its key, obtained apart from it."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.folder = folder / "bundle"
        self.key = deployment.call("log", "key").out.strip()
        shutil.copytree(deployment.folder / "bundle", self.folder)

    def verify(self, *key: str) -> Said:
        """Call `log verify` where no settings are: it needs none."""
        absent = str(self.folder / "absent.yaml")
        return call("log", "verify", str(self.folder), *key, "--config", absent)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """A deployment whose log was exported to `bundle`."""
    deployment = Deployment(tmp_path_factory.mktemp("exported"))
    append_to(deployment)
    folder = deployment.folder / "bundle"
    report = deployment.call(
        "log", "export", str(folder), "-r", "audit", "--ticket", "T-1", "--json"
    ).json()
    assert report["entries"] == EVENT_COUNT + 2  # The export is an entry itself.
    assert report["vkey"] == deployment.call("log", "key").out.strip()
    return deployment


@pytest.fixture
def bundle(exported: Deployment, tmp_path: Path) -> Bundle:
    return Bundle(exported, tmp_path)


def test_an_export_verifies_with_its_key(bundle: Bundle) -> None:
    verdict = bundle.verify("--key", bundle.key)
    assert verdict.code == 0, verdict.out
    assert verdict.out.startswith("VERIFIED")
    words = ["log", "verify", str(bundle.folder), "--key", bundle.key]
    assert run([sys.executable, "-m", "bridge.cli", *words]) == verdict, "as an auditor runs it"


def test_without_a_key_from_outside_nothing_is_proven(bundle: Bundle) -> None:
    verdict = bundle.verify()
    assert verdict.code == 2
    assert verdict.out.startswith("INCOMPLETE")


def test_another_log_s_key_proves_nothing(bundle: Bundle, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    verdict = bundle.verify("--key", Deployment(elsewhere).call("log", "key").out.strip())
    assert verdict.code != 0


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "payloads.jsonl").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "payloads.jsonl").write_bytes(content)


def remove_a_line(folder: Path) -> None:
    lines = (folder / "leaves.jsonl").read_bytes().splitlines(keepends=True)
    del lines[7]
    (folder / "leaves.jsonl").write_bytes(b"".join(lines))


def cut_the_tail(folder: Path) -> None:
    for name in ("leaves.jsonl", "payloads.jsonl"):
        lines = (folder / name).read_bytes().splitlines(keepends=True)
        (folder / name).write_bytes(b"".join(lines[:-3]))


@pytest.mark.parametrize(
    ("tamper", "code", "named"),
    [
        (flip_a_bit, 1, "payloads.jsonl"),
        (remove_a_line, 1, "leaves.jsonl"),
        (cut_the_tail, 2, "leaves.jsonl: cut after"),  # What is missing cannot be judged.
    ],
)
def test_tampering_is_found_and_named(
    bundle: Bundle, tamper: Callable[[Path], None], code: int, named: str
) -> None:
    tamper(bundle.folder)
    verdict = bundle.verify("--key", bundle.key)
    assert verdict.code == code, verdict.out
    assert named in verdict.out


def test_an_export_is_recorded_with_who_and_why(logged: Deployment) -> None:
    folder = logged.folder / "[bold]"  # Not markup.
    said = logged.run(
        "log", "export", str(folder), "-r", "yearly", "--ticket", "T-1", "--actor", "ana"
    )
    assert said.code == 0
    assert f"in {folder}" in said.out
    with logged.stores() as stores:
        log = stores.event_log()
        (last,) = log.read(log.head().size - 1, 1)
    assert last.kind is EntryKind.EXPORT
    assert json.loads(last.leaf)["fields"]["actor"]["id"] == "ana"
    assert json.loads(last.payload)["reason"] == "yearly"


def test_an_export_overwrites_nothing(deployment: Deployment) -> None:
    folder = str(deployment.folder)
    assert "it exists" in deployment.refused(
        "log", "export", folder, "-r", "again", "--ticket", "T-1"
    )


def test_a_bundle_that_is_not_there(bundle: Bundle) -> None:
    shutil.rmtree(bundle.folder)
    verdict = bundle.verify("--key", bundle.key)
    assert verdict.code == 2
    assert "not a folder" in verdict.out


def test_a_key_that_others_may_use_is_refused(logged: Deployment) -> None:
    logged.call("log", "key")
    (key_file,) = (logged.folder / "data" / "keys").glob("*.ed25519")
    key_file.chmod(0o644)
    said = logged.call("log", "key")
    assert said.code == CONFIG
    assert "chmod 0600" in said.err
