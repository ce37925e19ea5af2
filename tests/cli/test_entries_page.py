"""`docs/entries.md` says what entries hold: held to entries that the commands really leave."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bridge.capture.cursor import CaptureCursor, GapMark
from bridge.capture.guard.gaps import accept
from bridge.eventlog.records.canary import canary_draft
from bridge.eventlog.restoration import Loss, restore_draft
from bridge.eventlog.sequencer import Sequencer
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.write import WriteState
from bridge.runtime.roles.config_record import record_configuration
from tests.capture.drift.test_messages import mapper, message, part, row
from tests.cli.deployment import Deployment
from tests.cli.journalled import journalled
from tests.warrants import by

PAGE = Path(__file__).parents[2] / "docs" / "entries.md"
COMMON = {"action", "actor", "ticket", "outcome", "error", "time", "recordedtime"}
COMMON_PAYLOAD = {"action", "time", "reason", "ticket"}
CLOUD_EVENTS = {EntryKind.EVENT, EntryKind.PARKED}
AT = datetime(2026, 11, 21, 13, 23, 4, 653291, tzinfo=UTC)
WHY = ("--reason", "swept", "--ticket", "CHG-1207", "--actor", "ana")

# Made only by what takes a capture and years: held by the tests of their rooms.
ELSEWHERE = {EntryKind.GAP, EntryKind.ERASURE, EntryKind.RETENTION, EntryKind.PRUNE}


def _section(kind: EntryKind) -> str:
    found = re.search(rf"^## `{kind.value}`.*?(?=^## |\Z)", PAGE.read_text(), re.M | re.S)
    assert found, f"{PAGE.name} has no section about {kind.value!r}"
    return found[0]


def _said(section: str) -> set[str]:
    return set(re.findall(r"`([A-Za-z_0-9-]+)`", section))


def _drafts() -> list[EntryDraft]:
    """Entries of what no command does."""
    cursor = CaptureCursor(system_id="7", timeline=1, end_lsn=0x5000)
    gap = GapMark(cause="slot-missing", end_lsn=0x6000, accepted=False)
    _, accepted = accept("shop", cursor.moved(gap=gap), by(), now=AT)
    loss = Loss(40, 50, "the signer", False)
    restored = restore_draft(
        loss, by(), at=AT, old_origin="a/log", new_origin="a/log-2", last_note=None
    )
    rows = mapper().part_drafts(
        part(message(b'{"actor": "u-1", "ticket": "T-1"}'), row(1), message(b"nonsense"), row(2)),
        "2026-11-21T13:23:04.653291Z",
    )
    return [canary_draft("route", AT), accepted, restored, *rows]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[EntryKind, Any, Any]]:
    """Kind, leaf fields and payload of entries of many commands."""
    folder = tmp_path_factory.mktemp("deployment")
    deployment = Deployment(folder)
    pairs = folder / "ids"
    pairs.write_text('["1", "a"]\n')
    parked, doubt = journalled(deployment, WriteState.PARKED, WriteState.IN_DOUBT)
    for command in (
        ("switch", "orders", "dual"),
        ("switch", "orders", "dual"),
        ("lanes", "hold", "orders"),
        ("ids", "import", "orders", "order", str(pairs)),
        ("writes", "resolve", doubt, "failed"),
        ("writes", "skip", parked),
        ("subject", "hold", "place", "--all"),
        ("log", "key", "rotate"),
        ("log", "export", str(folder / "bundle")),
        ("log", "prune", "--below", "1"),
    ):
        deployment.call(*command, *WHY)
    deployment.call("writes", "list", "--actor", "ines")
    with deployment.stores() as stores:
        record_configuration(stores, "log")
        log = stores.event_log()
        log.append(_drafts())
        Sequencer(stores.desk(), log).step()
    assert deployment.call("log", "replay", "--to-file", str(folder / "replay"), *WHY).code == 0
    with deployment.stores() as stores:
        entries = stores.event_log().read(0, 1_000)
    return [
        (entry.kind, json.loads(entry.leaf)["fields"], json.loads(entry.payload))
        for entry in entries
    ]


def test_every_kind_has_a_section_with_an_example() -> None:
    for kind in EntryKind:
        examples = re.findall(r"```json\n(.*?)```", _section(kind), re.S)
        assert examples, f"no example of {kind.value!r}"
        for example in map(json.loads, examples):
            assert example["kind"] == kind.value
            assert example["v"] == 2
            wanted = {"actor", "time", "recordedtime"}
            if kind not in CLOUD_EVENTS:
                wanted |= {"action", "outcome"}
            assert wanted <= example["fields"].keys()
            unsaid = example["fields"].keys() - COMMON - _said(_section(kind))
            assert not unsaid, f"{kind.value!r}: {unsaid} stand in the example alone"


def test_what_entries_hold_is_on_the_page(found: list[tuple[EntryKind, Any, Any]]) -> None:
    assert {kind for kind, _, _ in found} | ELSEWHERE == set(EntryKind)
    for kind, fields, payload in found:
        said = _said(_section(kind))
        assert not fields.keys() - COMMON - said, f"leaf of {kind.value!r} is not on the page"
        if kind not in CLOUD_EVENTS:
            assert not payload.keys() - COMMON_PAYLOAD - said, f"payload of {kind.value!r}"
            assert fields["action"] in said, f"action of {kind.value!r}"


def test_all_leaves_have_one_shape(found: list[tuple[EntryKind, Any, Any]]) -> None:
    for kind, fields, _ in found:
        assert {"actor", "time", "recordedtime"} <= fields.keys(), kind
        known = fields["actor"]["known"]
        assert known == "unknown" or {"id", "type"} <= fields["actor"].keys()
        if kind not in CLOUD_EVENTS:
            assert fields["outcome"] in ("done", "refused", "failed")
            assert ("error" in fields) <= (fields["outcome"] != "done")
            assert "reason" not in fields
        if known in ("declared", "login", "token") and kind not in (
            EntryKind.ACCESS, *CLOUD_EVENTS,
        ):  # fmt: skip
            assert fields["ticket"], kind
