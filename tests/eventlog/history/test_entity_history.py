"""History and as-of tell what really was, held against a table that the test keeps itself."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.eventlog.history.entity_reader import EntityReader
from bridge.eventlog.history.follower import IndexFollower
from bridge.eventlog.history.query import EntityKey
from bridge.model.entry import EntryDraft, EntryKind
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.log_index.sqlite import SqliteLogIndex
from tests.eventlog.history.logs import FIELDS, ORDER, START, key_text, row_event

Row = dict[str, Any]
KEYS = (1, 2, 3)


@contextmanager
def reading(drafts: list[EntryDraft]) -> Iterator[EntityReader]:
    log = MemoryEventLog()
    log.append(drafts)
    with TemporaryDirectory() as folder:
        index = SqliteLogIndex(Path(folder) / "index.db", segment_entries=4)
        IndexFollower(log, index, lambda: FIELDS, batch_entries=3).catch_up()
        yield EntityReader(log, index)
        index.close()


def entity(key: int) -> EntityKey:
    return EntityKey(subject=ORDER, key=key_text({"order_id": key}))


class Table:
    """A table of the legacy system, what capture tells of it, and what it really held when."""

    def __init__(self, rows: dict[int, Row]) -> None:
        self.rows = rows
        self.told: list[EntryDraft] = []
        self.was: list[dict[int, Row]] = []
        """The rows behind each entry."""
        self.spoiled: list[frozenset[int]] = []
        """Keys of which the last change broke its contract, behind each entry."""

    def tell(self, op: str, key: int | None, **more: Any) -> None:
        number = len(self.told)
        data = None if key is None else {"order_id": key}
        self.told.append(row_event(number, op, data, second=number, **more))
        self.was.append({key: dict(row) for key, row in self.rows.items()})
        spoiled = self.spoiled[-1] if self.spoiled else frozenset[int]()
        touched = frozenset() if key is None else frozenset({key})
        if "before" in more:
            touched |= {more["before"]["order_id"]}
        if op == "truncated":
            touched = spoiled
        parked = more.get("kind") is EntryKind.PARKED
        self.spoiled.append(spoiled | touched if parked else spoiled - touched)

    def truth(self, key: int, behind: int) -> Row | None:
        return self.was[behind].get(key) if behind >= 0 else None


VALUES = st.sampled_from(["a", "b", None])


@st.composite
def tables(draw: st.DrawFn) -> Table:
    there = draw(st.frozensets(st.sampled_from(KEYS)))
    table = Table({key: {"order_id": key, "status": "a", "note": "long"} for key in there})
    for key in there:
        if draw(st.booleans()):
            table.tell("read", key, after=dict(table.rows[key]))
    for _ in range(draw(st.integers(0, 14))):
        _do(draw, table, draw(st.sampled_from(KEYS)))
    return table


def _do(draw: st.DrawFn, table: Table, key: int) -> None:
    row = table.rows.get(key)
    parked = {"kind": EntryKind.PARKED} if draw(st.integers(0, 9)) == 0 else {}
    if row is None:
        table.rows[key] = {"order_id": key, "status": draw(VALUES), "note": draw(VALUES)}
        table.tell("created", key, after=dict(table.rows[key]), **parked)
        return
    what = draw(st.sampled_from(["update", "update", "delete", "move", "read", "truncate"]))
    if what == "delete":
        del table.rows[key]
        table.tell("deleted", key, before={"order_id": key}, **parked)
    elif what == "read":
        table.tell("read", key, after=dict(row))
    elif what == "truncate":
        table.rows.clear()
        table.tell("truncated", None)
    else:
        old = dict(row)
        row["status"] = draw(VALUES)
        more: dict[str, Any] = {**parked}
        after = row
        if draw(st.booleans()):
            row["note"] = draw(VALUES)
        else:
            # Long and unchanged: the source does not send it again.
            after = {name: value for name, value in row.items() if name != "note"}
            more["unavailable"] = ["note"]
        free = [other for other in KEYS if other not in table.rows]
        if what == "move" and free:
            del table.rows[key]
            key = draw(st.sampled_from(free))
            row["order_id"] = after["order_id"] = key
            table.rows[key] = row
            more["before"] = {"order_id": old["order_id"]}
        elif draw(st.booleans()):
            more["before"] = old
        table.tell("updated", key, after=dict(after), **more)


@settings(max_examples=25, deadline=None)
@given(tables())
def test_as_of_every_time_tells_what_the_table_held(table: Table) -> None:
    check_as_of(table)


@pytest.mark.soak
@settings(max_examples=1_500, deadline=None)
@given(tables())
def test_the_same_of_many_more_tables(table: Table) -> None:
    check_as_of(table)
    check_steps(table)


def check_as_of(table: Table) -> None:
    with reading(table.told) as reader:
        for key in KEYS:
            for behind in range(-1, len(table.told)):
                time = START + timedelta(seconds=behind)
                state = reader.as_of(entity(key), time=time).state
                truth = table.truth(key, behind)
                status = state.status.value
                if behind >= 0 and key in table.spoiled[behind]:
                    assert status == "unknown"
                elif status == "present":
                    assert truth is not None
                    told = {name: json.loads(text) for name, text in state.fields.items()}
                    assert told == {n: v for n, v in truth.items() if n not in state.untold}
                    assert state.untold <= {"note"}
                elif status in ("deleted", "absent"):
                    assert truth is None
                else:
                    # Only where nothing has told of it yet.
                    assert state.index is None


@settings(max_examples=25, deadline=None)
@given(tables())
def test_each_step_tells_the_fields_that_really_changed(table: Table) -> None:
    check_steps(table)


def check_steps(table: Table) -> None:
    with reading(table.told) as reader:
        for key in KEYS:
            history = reader.history(entity(key))
            before: int | None = None
            for step in history.steps:
                was, now = (table.truth(key, i) for i in (step.index - 1, step.index))
                if step.kind == "parked":
                    assert step.changes == ()
                elif before is not None and key not in table.spoiled[before]:
                    changes = {change.name: change for change in step.changes}
                    for name in ("status", "note"):
                        real = (was or {}).get(name, "-"), (now or {}).get(name, "-")
                        moved = _moved(table, step.index, key)
                        if name in changes and changes[name].before_known and not moved:
                            change = changes[name]
                            assert _value(change.before) == real[0]
                        if name in changes and changes[name].after_known:
                            assert _value(changes[name].after) == real[1]
                        if real[0] != real[1] and not moved:
                            assert name in changes
                before = step.index
            assert [step.index for step in history.steps] == _about(table, key)


def _moved(table: Table, index: int, key: int) -> bool:
    """Whether an entry gave a row this key: then `before` is the row under its old key."""
    data = json.loads(table.told[index].payload)["data"]
    return "after" in data and data.get("before", {}).get("order_id", key) != key


def _about(table: Table, key: int) -> list[int]:
    def keys(draft: EntryDraft) -> list[int]:
        data = json.loads(draft.payload)["data"]
        if data["key"] is None:
            return list(KEYS)
        return [data["key"]["order_id"], data.get("before", {}).get("order_id", -1)]

    return [index for index, draft in enumerate(table.told) if key in keys(draft)]


def _value(text: str | None) -> Any:
    return "-" if text is None else json.loads(text)


def test_what_was_known_then_and_what_is_known_now_differ() -> None:
    """A change of the first of January that was taken in on the fifth."""
    day = 86_400
    drafts = [
        row_event(0, "created", {"order_id": 1}, {"status": "open"}, second=0, recorded=1),
        row_event(1, "updated", {"order_id": 1}, {"status": "paid"}, second=60, recorded=4 * day),
    ]
    with reading(drafts) as reader:
        second = START + timedelta(days=1)
        assert reader.as_of(entity(1), time=second).state.fields == {"status": '"paid"'}
        assert reader.as_of(entity(1), recorded=second).state.fields == {"status": '"open"'}
        both = reader.as_of(entity(1), time=second, recorded=second)
        assert both.state.fields == {"status": '"open"'}
        assert both.next_step is not None
        assert both.next_step.index == 1


def test_before_the_first_entry_it_is_absent_only_if_the_log_tells_its_creation() -> None:
    drafts = [
        row_event(5, "created", {"order_id": 1}, {"status": "open"}),
        row_event(6, "read", {"order_id": 2}, {"status": "open"}),
    ]
    with reading(drafts) as reader:
        earlier = START
        created = reader.as_of(entity(1), time=earlier).state
        assert (created.status.value, created.why) == (
            "absent",
            "entry 0 tells how it was created, later",
        )
        read = reader.as_of(entity(2), time=earlier).state
        assert read.status.value == "unknown"
        assert "it may have been there" in (read.why or "")
        never = reader.as_of(entity(3), time=earlier).state
        assert never.why == "the log has no entry of it among the first 2"


def test_who_and_why_stand_beside_each_step() -> None:
    said: dict[str, Any] = {
        "actor": {"id": "u-7", "via": "application message"},
        "reason": "wrong price",
        "ticket": "T-9",
        "correlation": "req-1",
    }
    drafts = [
        row_event(0, "created", {"order_id": 1}, {"total": "1.00"}),
        row_event(1, "updated", {"order_id": 1}, {"total": "1.0"}, **said),
    ]
    with reading(drafts) as reader:
        step = reader.history(entity(1)).steps[1]
        assert (step.actor, step.known, step.reason) == (
            "u-7",
            "application message",
            "wrong price",
        )
        assert (step.ticket, step.correlation) == ("T-9", "req-1")
        assert [change.as_json() for change in step.changes] == [
            {"field": "total", "before": "1.00", "after": "1.0"}
        ]


def test_an_old_row_that_differs_from_the_log_is_told() -> None:
    drafts = [
        row_event(0, "created", {"order_id": 1}, {"order_id": 1, "total": "1"}),
        row_event(
            1,
            "updated",
            {"order_id": 1},
            {"order_id": 1, "total": "3"},
            before={"order_id": 1, "total": "2"},
        ),
    ]
    with reading(drafts) as reader:
        step = reader.history(entity(1)).steps[1]
        assert step.note == "the source's own old row differs from what the log told of total"
        assert [change.before for change in step.changes] == ['"2"']


def test_a_gap_in_the_source_is_a_caveat() -> None:
    gap = EntryDraft(
        EntryKind.GAP,
        "shop:gap:1:closed",
        {
            "source": "urn:legacy-bridge:shop",
            "recordedtime": "2026-01-01T00:01:00.000000Z",
            "outcome": "closed",
            "from_lsn": "0/10",
            "to_lsn": "0/20",
        },
        b"{}",
    )
    drafts = [row_event(0, "created", {"order_id": 1}, {"total": "1"}), gap]
    with reading(drafts) as reader:
        later = reader.as_of(entity(1), time=START + timedelta(days=1))
        assert later.caveats[0].startswith("entry 1: changes of the source between 0/10 and 0/20")
        sooner = reader.as_of(entity(1), time=START + timedelta(seconds=1))
        assert sooner.caveats == ()


def test_a_long_history_shows_its_newest_steps_and_counts_the_others() -> None:
    drafts = [
        row_event(n, "updated" if n else "created", {"order_id": 1}, {"n": n}) for n in range(9)
    ]
    with reading(drafts) as reader:
        history = reader.history(entity(1), steps_max=3)
        assert [step.index for step in history.steps] == [6, 7, 8]
        assert history.omitted == 6
        assert [change.before for change in history.steps[0].changes] == ["5"]


def test_sealed_fields_are_named_and_never_taken_for_unchanged() -> None:
    def sealed(number: int, op: str) -> EntryDraft:
        plain = row_event(
            number, op, {"order_id": 1}, {"order_id": 1, "status": op}, sealed=[{"commit": "0"}]
        )
        hidden = b',"sealed":"k.x","sealedpaths":"/after/name,/after/e%2Dmail /before/name"}'
        return plain._replace(payload=plain.payload[:-1] + hidden)

    with reading([sealed(0, "created"), sealed(1, "updated")]) as reader:
        history = reader.history(entity(1))
        assert [step.sealed for step in history.steps] == [1, 1]
        assert history.state.untold == {"name", "e-mail"}
        created = [change.as_json() for change in history.steps[0].changes]
        assert {"field": "name", "after_known": False} in created
        # Nobody without the key knows whether they changed: only what can be seen is told.
        assert [change.name for change in history.steps[1].changes] == ["status"]
