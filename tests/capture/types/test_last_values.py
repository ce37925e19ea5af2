"""The memory of last values equals the log, live, rebuilt, and after any crash."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.capture.mapping.last_values import LastValues, LastValueStore, Place
from bridge.capture.mapping.remembered import Effect, Remembered
from bridge.capture.ports import CaptureLog
from bridge.contracts import ContractSet
from bridge.contracts.loading import read_contracts
from bridge.contracts.means import Means
from bridge.contracts.names import source_urn
from bridge.contracts.row_policies import INSERT_SUFFIX
from bridge.contracts.table_mapper import TableMapper
from bridge.model.change import UNSENT, BeforeImage, ChangeKind, Row, RowChange
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import LogCorrupt, StorageUnavailable
from bridge.model.event import Breach, Event
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.memory_last_values import MemoryLastValues
from bridge.storage.sqlite_last_values import SqliteLastValues
from tests.contracts.samples import ORIGIN
from tests.contracts.test_structures import TEXT, contract, shape
from tests.waiting import RecordingObserver

SOURCE = "shop"
HERE = shape(body=TEXT, doc=114)
TABLE = "public.thing"
SCHEMA = "urn:legacy-bridge:contract:shop.thing:1.0"


class Machine:
    """A log, a memory over it, and a mapper that asks the memory."""

    def __init__(self, folder: Path, log: CaptureLog, store: LastValueStore) -> None:
        self.observer = RecordingObserver()
        contracts, problems = read_contracts(folder)
        assert not problems, problems
        plain = ContractSet(contracts, type_prefix="com.example")
        self.memory = LastValues(SOURCE, plain.mappings(SOURCE), store, observer=self.observer)
        self.log = self.memory.over(log)
        self.memory.resume()
        equipped = ContractSet(
            contracts, type_prefix="com.example", means=Means(last_known=self.memory)
        )
        self._contracts = equipped
        self._mapper: TableMapper | None = None

    @property
    def mapper(self) -> TableMapper:
        """Made when first asked for: a machine may only read."""
        if self._mapper is None:
            self._mapper = self._contracts.mapper(SOURCE, HERE)
        assert self._mapper is not None
        return self._mapper

    def map(self, change: RowChange) -> list[EntryDraft]:
        """Return the drafts of a change, as capture makes them."""
        number = next(_NUMBERS)
        origin = ORIGIN._replace(
            event_id=f"shop:{number:016X}:00000000", sequence=f"{number:016X}:00000000"
        )
        mapped = self.mapper.map(change, origin)
        several = [mapped] if isinstance(mapped, Event | Breach) else mapped
        return [draft_of(one) for one in several]

    def append(self, *changes: RowChange) -> list[dict[str, Any]]:
        """Map and append changes in one batch; return the data of their events."""
        drafts = [draft for change in changes for draft in self.map(change)]
        self.log.append(drafts)
        return [json.loads(draft.payload)["data"] for draft in drafts]


def numbers() -> Iterator[int]:
    number = 0
    while True:
        number += 1
        yield number


_NUMBERS = numbers()


def draft_of(one: Event | Breach) -> EntryDraft:
    kind = EntryKind.EVENT if isinstance(one, Event) else EntryKind.PARKED
    fields = {"source": source_urn(SOURCE), "legacy": {"table": TABLE}}
    return EntryDraft(kind, one.event_id, fields, one.payload, None, one.key)


def created(key: str, body: Any, doc: Any = None) -> RowChange:
    return RowChange(ChangeKind.CREATED, HERE, None, BeforeImage.NONE, (key, body, doc))


def updated(key: str, body: Any, doc: Any = None, *, old: str | None = None) -> RowChange:
    before: Row | None = None if old is None else (old, UNSENT, UNSENT)
    image = BeforeImage.NONE if old is None else BeforeImage.KEY
    return RowChange(ChangeKind.UPDATED, HERE, before, image, (key, body, doc))


def deleted(key: str) -> RowChange:
    return RowChange(ChangeKind.DELETED, HERE, (key, UNSENT, UNSENT), BeforeImage.KEY, None)


TRUNCATED = RowChange(ChangeKind.TRUNCATED, HERE, None, BeforeImage.NONE, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "contracts")


def write(folder: Path, policies: str = "refill: true\n") -> Path:
    contract(folder, body="string", doc="json")
    path = folder / "shop.thing" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text() + policies)
    return folder


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LastValueStore]:
    if request.param == "memory":
        yield MemoryLastValues()
        return
    sqlite = SqliteLastValues(tmp_path / "last-values.db")
    yield sqlite
    sqlite.close()


@pytest.fixture
def machine(folder: Path, store: LastValueStore) -> Machine:
    return Machine(folder, MemoryEventLog(), store)


def test_a_store_does_what_it_is_told(store: LastValueStore) -> None:
    one, two = Remembered("r", b'"1"'), Remembered("r", b'"2"')
    place = Place(7, b"hash")
    store.apply(
        [("t", Effect("k", {"a": one, "b": two})), ("t", Effect("l", {"a": two}))], {"t": place}
    )
    assert store.places() == {"t": place}
    assert store.find("t", "k") == {"a": one, "b": two}
    store.apply([("t", Effect("k", {"a": None, "b": one})), ("t", Effect("l", None))], {})
    assert store.find("t", "k") == {"b": one}
    assert store.find("t", "l") == {}
    store.apply([("t", Effect(None, None)), ("t", Effect("m", {"a": one}))], {"t": Place(8, b"")})
    assert store.find("t", "k") == {}
    assert store.find("t", "m") == {"a": one}
    store.drop("t")
    assert not store.places()
    assert store.find("t", "m") == {}


def test_an_unsent_value_is_the_last_one_of_the_log(machine: Machine) -> None:
    machine.append(created("1", "first", '{"n":  1.10}'))
    data, marked = machine.append(updated("1", UNSENT, UNSENT), updated("1", "second", UNSENT))
    assert data["after"] == {"id": 1, "body": "first", "doc": {"n": 1.1}}
    assert data["refilled"] == ["body", "doc"]
    assert "unavailable" not in data
    assert marked["refilled"] == ["doc"]
    entry = machine.log.read(1, 1)[0]
    assert b'"doc":{"n":  1.10}' in entry.payload, "digits and blanks are as they came"


def test_an_earlier_change_of_the_same_batch_counts(machine: Machine) -> None:
    machine.append(created("1", "old"))
    _, filled, _, gone = machine.append(
        updated("1", "new"), updated("1", UNSENT), deleted("1"), updated("1", UNSENT)
    )
    assert filled["after"]["body"] == "new"
    assert gone["unavailable"] == ["body"]


def test_what_is_not_known_stays_unavailable(machine: Machine) -> None:
    (data,) = machine.append(updated("9", UNSENT))
    assert data["unavailable"] == ["body"]
    assert "refilled" not in data


@pytest.mark.parametrize("batches", [1, 3])
def test_a_changed_key_takes_its_values_along(machine: Machine, batches: int) -> None:
    changes = [created("1", "text"), updated("2", UNSENT, old="1"), updated("2", UNSENT)]
    if batches == 1:
        datas = machine.append(*changes)
    else:
        datas = [data for change in changes for data in machine.append(change)]
    assert [data["after"]["body"] for data in datas] == ["text"] * 3
    assert machine.memory.find(TABLE, SCHEMA, '{"id":1}') == {}


def test_both_sides_of_a_changed_key_take_them_along(tmp_path: Path) -> None:
    folder = write(tmp_path / "contracts", "refill: true\nkey_change: delete_insert\n")
    machine = Machine(folder, MemoryEventLog(), MemoryLastValues())
    machine.append(created("1", "text"))
    old, new, later = machine.append(updated("2", UNSENT, old="1"), updated("2", UNSENT))
    assert old == {"key": {"id": 1}, "before": {"id": 1}}
    assert new["after"]["body"] == later["after"]["body"] == "text"
    assert new["refilled"] == ["body"]
    assert machine.log.read(2, 1)[0].entry_id.endswith(INSERT_SUFFIX)


@pytest.mark.parametrize("live", [True, False])
def test_truncates_and_gaps_forget_a_table(folder: Path, store: LastValueStore, live: bool) -> None:
    log = MemoryEventLog()
    machine = Machine(folder, log, store)
    gap = EntryDraft(EntryKind.GAP, "gap", {"source": source_urn(SOURCE)}, b"{}")
    for end in ([*machine.map(TRUNCATED)], [gap]):
        machine.append(created("1", "text"))
        (machine.log if live else log).append(end)
        machine = machine if live else Machine(folder, log, store)
        (data,) = machine.append(updated("1", UNSENT))
        assert data["unavailable"] == ["body"]


def test_what_was_parked_is_not_remembered(machine: Machine) -> None:
    machine.append(created("1", "text", "[1]"))
    machine.append(updated("1", "seen", '{"broken": 1e999'))
    bad = RowChange(ChangeKind.UPDATED, HERE, None, BeforeImage.NONE, ("1", b"\xff", UNSENT))
    machine.append(bad)
    (data,) = machine.append(updated("1", UNSENT, UNSENT))
    assert data["unavailable"] == ["body", "doc"]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda log, drafts: None, id="the append never came"),
        pytest.param(lambda log, drafts: log.append(drafts), id="it came, the answer was lost"),
    ],
)
def test_a_session_begins_where_the_log_is(
    folder: Path, store: LastValueStore, spoil: Callable[[Any, Any], None]
) -> None:
    log = MemoryEventLog()
    machine = Machine(folder, log, store)
    machine.append(created("1", "old"))
    drafts = machine.map(updated("1", "new"))
    spoil(log, drafts)
    machine.memory.resume()
    (data,) = machine.append(updated("1", UNSENT))
    assert data["after"]["body"] == ("new" if log.head().size == 3 else "old")


def test_another_log_is_read_from_its_beginning(folder: Path, store: LastValueStore) -> None:
    machine = Machine(folder, MemoryEventLog(), store)
    machine.append(created("1", "of the first log"), created("2", "too"))
    other = MemoryEventLog()
    Machine(folder, other, MemoryLastValues()).append(created("1", "x"), created("3", "y"))
    machine = Machine(folder, other, store)
    assert machine.observer.notes("last_values_rebuilt")
    one, two = machine.append(updated("1", UNSENT), updated("2", UNSENT))
    assert one["after"]["body"] == "x"
    assert two["unavailable"] == ["body"]


def test_a_log_that_lost_its_end_is_read_from_its_beginning(
    folder: Path, store: LastValueStore
) -> None:
    log = MemoryEventLog()
    machine = Machine(folder, log, store)
    machine.append(created("1", "kept"))
    kept = log.read(0, 9)
    machine.append(updated("1", "lost"))
    restored = MemoryEventLog()
    restored.append([_draft_again(entry) for entry in kept])
    (data,) = Machine(folder, restored, store).append(updated("1", UNSENT))
    assert data["after"]["body"] == "kept"


def _draft_again(entry: Any) -> EntryDraft:
    fields = {"source": source_urn(SOURCE), "legacy": {"table": TABLE}}
    return EntryDraft(entry.kind, entry.entry_id, fields, entry.payload, None, entry.partition_key)


def test_a_field_that_is_mapped_otherwise_is_not_taken_over(
    folder: Path, store: LastValueStore
) -> None:
    log = MemoryEventLog()
    Machine(folder, log, store).append(created("1", "text", "[1]"))
    path = folder / "shop.thing" / "1.0" / "mapping.yaml"
    text = path.read_text()
    assert "column: doc\n    type: json" in text
    path.write_text(text.replace("column: doc\n    type: json", "column: doc\n    type: string"))
    (data,) = Machine(folder, log, store).append(updated("1", UNSENT, UNSENT))
    assert data["refilled"] == ["body"]
    assert data["unavailable"] == ["doc"]


def test_a_table_that_no_longer_asks_is_dropped(folder: Path, store: LastValueStore) -> None:
    log = MemoryEventLog()
    Machine(folder, log, store).append(created("1", "text"))
    path = folder / "shop.thing" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text().replace("refill: true", "refill: false"))
    Machine(folder, log, store)
    assert not store.places()
    assert store.find(TABLE, '{"id":1}') == {}


def test_a_broken_file_is_said_in_our_words(tmp_path: Path) -> None:
    path = tmp_path / "last.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises((LogCorrupt, StorageUnavailable), match="last values"):
        SqliteLastValues(path)


KEYS = st.sampled_from("123")
BODIES = st.sampled_from(["a", "b", None]) | st.text(max_size=5) | st.just(UNSENT)
CHANGES = st.one_of(
    st.builds(created, KEYS, st.sampled_from(["x", "y", None]), st.sampled_from(["[1]", None])),
    st.builds(updated, KEYS, BODIES, st.sampled_from(["{}", UNSENT, "{broken"])),
    st.builds(lambda key, old: updated(key, UNSENT, UNSENT, old=old), KEYS, KEYS),
    st.builds(deleted, KEYS),
    st.just(TRUNCATED),
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=st.lists(st.lists(CHANGES, min_size=1, max_size=4), max_size=6), crash=st.data())
def test_live_rebuilt_and_crashed_memories_agree(
    folder: Path, batches: list[list[RowChange]], crash: st.DataObject
) -> None:
    log, live_store = MemoryEventLog(), MemoryLastValues()
    machine = Machine(folder, log, live_store)
    for batch in batches:
        fate = crash.draw(st.sampled_from(["appended", "unanswered", "lost"]))
        if fate == "appended":
            machine.append(*batch)
            continue
        drafts = [draft for change in batch for draft in machine.map(change)]
        if fate == "unanswered":
            log.append(drafts)  # Past the memory, as if we had been killed right after it.
        machine.memory.resume()
    machine.memory.resume()
    rebuilt = MemoryLastValues()
    Machine(folder, log, rebuilt)
    for key in "123":
        name = f'{{"id":{key}}}'
        assert live_store.find(TABLE, name) == rebuilt.find(TABLE, name)
    if log.head().size:
        assert live_store.places() == rebuilt.places()
