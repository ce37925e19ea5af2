"""What every event log store promises: the suite that each implementation passes."""

import threading
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.eventlog.leaf import make_leaf
from bridge.eventlog.merkle import EMPTY_ROOT, leaf_hash
from bridge.eventlog.ports import EventLogStore
from bridge.model.entry import EntryDraft, EntryKind, TreeHead
from bridge.model.errors import LimitExceeded, LogCorrupt, StaleCursor
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.conftest import OpenStore
from tests.eventlog.drafts import draft, drafts, move
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.naive_merkle import naive_root


def test_an_empty_log_has_the_empty_root(log: EventLogStore) -> None:
    assert log.head() == TreeHead(size=0, root=EMPTY_ROOT)
    assert log.read(0, 10) == []
    assert log.leaf_hashes(0, 10) == []
    assert log.tile_roots(0, 0, 10) == []
    assert log.cursor("shop") is None
    assert log.latest_checkpoint() is None
    assert log.find("shop:1") is None


def test_an_append_stores_entries_head_and_cursor(log: EventLogStore) -> None:
    batch = drafts(0, 3)
    appended = log.append(batch, cursor=move(0))

    assert appended.first_index == 0
    assert appended.cursor_version == 1
    assert appended.head == log.head()
    entries = log.read(0, 10)
    assert [entry.leaf_index for entry in entries] == [0, 1, 2]
    for index, (entry, made) in enumerate(zip(entries, batch, strict=True)):
        assert entry.leaf == make_leaf(made, index)
        assert (entry.kind, entry.entry_id, entry.payload) == (
            EntryKind.EVENT,
            made.entry_id,
            made.payload,
        )
        assert entry.routing_key == made.routing_key
        assert entry.partition_key == made.partition_key
    assert log.head().root == naive_root([entry.leaf for entry in entries])
    cursor = log.cursor("shop")
    assert cursor is not None
    assert (cursor.source, cursor.version, cursor.state) == ("shop", 1, b'{"step":0}')


def test_a_cursor_moves_without_entries(log: EventLogStore) -> None:
    log.append(drafts(0, 2), cursor=move(0))
    appended = log.append([], cursor=move(1))
    assert (appended.first_index, appended.head.size, appended.cursor_version) == (2, 2, 2)


def test_an_append_of_nothing_changes_nothing(log: EventLogStore) -> None:
    appended = log.append([])
    assert (appended.first_index, appended.head, appended.cursor_version) == (0, log.head(), None)


@pytest.mark.parametrize("expected", [0, 2])
def test_a_stale_cursor_is_fenced(log: EventLogStore, expected: int) -> None:
    log.append(drafts(0, 2), cursor=move(0))
    with pytest.raises(StaleCursor, match=f"version 1, expected {expected}"):
        log.append(drafts(2, 4), cursor=move(expected))
    assert log.head().size == 2
    assert log.append(drafts(2, 4), cursor=move(1)).first_index == 2


def test_a_new_source_must_expect_version_zero(log: EventLogStore) -> None:
    with pytest.raises(StaleCursor, match="version 0, expected 3"):
        log.append(drafts(0, 1), cursor=move(3))
    assert log.head().size == 0


def test_a_captured_entry_twice_is_a_bug_of_ours(log: EventLogStore) -> None:
    log.append(drafts(0, 3), cursor=move(0))
    with pytest.raises(LogCorrupt, match="already has one of them"):
        log.append(drafts(2, 5), cursor=move(1))
    assert log.head().size == 3
    cursor = log.cursor("shop")
    assert cursor is not None
    assert cursor.version == 1


def test_pending_entries_that_the_log_has_are_passed_over(log: EventLogStore) -> None:
    log.append(drafts(0, 3))
    appended = log.append([*drafts(1, 5), draft(4)])
    assert appended.first_index == 3
    assert [entry.entry_id for entry in log.read(0, 10)] == [made.entry_id for made in drafts(0, 5)]


def test_two_sources_keep_their_own_cursors(log: EventLogStore) -> None:
    log.append(drafts(0, 2), cursor=move(0))
    log.append(drafts(0, 2, source="crm"), cursor=move(0, source="crm"))
    log.append(drafts(2, 3), cursor=move(1))
    versions = {name: log.cursor(name) for name in ("shop", "crm")}
    assert {name: found and found.version for name, found in versions.items()} == {
        "shop": 2,
        "crm": 1,
    }


def test_entries_are_found_by_id_and_read_in_parts(log: EventLogStore) -> None:
    log.append(drafts(0, 10))
    found = log.find(draft(4).entry_id)
    assert found is not None
    assert found.leaf_index == 4
    assert [entry.leaf_index for entry in log.read(3, 4)] == [3, 4, 5, 6]
    assert log.read(10, 4) == []


def test_no_partition_key_reaches_a_leaf(log: EventLogStore) -> None:
    secret = draft(0)._replace(partition_key='{"person":"canary-7f1"}')
    log.append([secret])
    [entry] = log.read(0, 1)
    assert b"canary" not in entry.leaf
    assert sha256(entry.payload).hexdigest().encode() in entry.leaf


def test_optional_columns_stay_empty(log: EventLogStore) -> None:
    bare = EntryDraft(EntryKind.CONFIG, "config:1", {}, b"{}")
    log.append([bare])
    [entry] = log.read(0, 1)
    assert (entry.kind, entry.routing_key, entry.partition_key) == (EntryKind.CONFIG, None, None)


def test_a_leaf_that_is_too_large_stops_the_whole_append(log: EventLogStore) -> None:
    large = draft(1)._replace(fields={"note": "x" * 70_000})
    with pytest.raises(LimitExceeded, match="at most 65535"):
        log.append([draft(0), large], cursor=move(0))
    assert log.head().size == 0
    assert log.cursor("shop") is None


def test_tiles_and_hashes_agree_with_the_leaves(log: EventLogStore) -> None:
    made = 0
    for count in (1, 254, 1, 1, 255, 300, 700):
        log.append(drafts(made, made + count))
        made += count
    leaves = [entry.leaf for entry in log.read(0, made)]
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert log.head() == TreeHead(size=made, root=naive_root(leaves))
    for start, stop in [(0, made), (0, 1), (255, 257), (256, 512), (1300, 1600), (1511, 1512)]:
        assert log.leaf_hashes(start, stop) == hashes[start:stop]
    assert log.leaf_hashes(5_000, 6_000) == []
    assert log.leaf_hashes(9, 9) == []
    assert log.tile_roots(0, 0, 99) == [
        naive_root(leaves[at : at + 256]) for at in range(0, 1280, 256)
    ]
    assert log.tile_roots(0, 1, 2) == [naive_root(leaves[256:512])]
    assert log.tile_roots(1, 0, 9) == []


def test_the_newest_checkpoint_is_the_largest(log: EventLogStore) -> None:
    log.add_checkpoint(5, b"five")
    log.add_checkpoint(9, b"nine")
    log.add_checkpoint(7, b"seven")
    log.add_checkpoint(9, b"nine again")
    assert log.latest_checkpoint() == (9, b"nine again")
    assert log.checkpoints(6, 5) == [(7, b"seven"), (9, b"nine again")]
    assert log.checkpoints(0, 1) == [(5, b"five")]


def test_tokens_are_kept_by_checkpoint_and_authority(log: EventLogStore) -> None:
    assert log.tokens(5) == {}
    log.add_token(5, "one", b"first")
    log.add_token(5, "two", b"second")
    log.add_token(9, "one", b"later")
    log.add_token(5, "one", b"again")
    assert log.tokens(5) == {"one": b"again", "two": b"second"}


def test_threads_may_share_a_store(log: EventLogStore) -> None:
    def append(source: str) -> None:
        for version in range(10):
            first = version * 20
            log.append(
                drafts(first, first + 20, source=source), cursor=move(version, source=source)
            )
            log.read(0, 50)
            log.leaf_hashes(0, 300)

    threads = [threading.Thread(target=append, args=(f"s{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = log.read(0, 1_000)
    assert len(entries) == 800
    assert log.head().root == naive_root([entry.leaf for entry in entries])


@settings(EXAMPLES, max_examples=30)
@given(counts=st.lists(st.integers(0, 40), max_size=12))
def test_any_batches_give_the_same_tree(counts: list[int]) -> None:
    log = MemoryEventLog()
    made = 0
    for count in counts:
        log.append(drafts(made, made + count))
        made += count
    assert log.head().root == naive_root([entry.leaf for entry in log.read(0, made)])


# --- what only durable stores promise ------------------------------------------------------------


def test_a_second_opening_sees_and_continues_the_log(open_durable: OpenStore) -> None:
    first = open_durable()
    first.append(drafts(0, 300), cursor=move(0))
    first.close()
    second = open_durable()
    assert second.head().size == 300
    assert second.append(drafts(300, 310), cursor=move(1)).first_index == 300
    leaves = [entry.leaf for entry in second.read(0, 400)]
    assert second.head().root == naive_root(leaves)


def test_two_openings_append_by_turns(open_durable: OpenStore) -> None:
    stores = [open_durable(), open_durable()]
    for turn in range(12):
        stores[turn % 2].append(drafts(turn * 50, turn * 50 + 50))
    entries = stores[0].read(0, 1_000)
    assert [entry.entry_id for entry in entries] == [made.entry_id for made in drafts(0, 600)]
    assert stores[1].head().root == naive_root([entry.leaf for entry in entries])


def test_a_taken_over_source_is_fenced_across_openings(open_durable: OpenStore) -> None:
    paused, successor = open_durable(), open_durable()
    paused.append(drafts(0, 1), cursor=move(0))
    successor.append(drafts(1, 2), cursor=move(1))
    with pytest.raises(StaleCursor):
        paused.append(drafts(1, 2), cursor=move(1))


def test_the_change_token_differs_after_another_appended(open_durable: OpenStore) -> None:
    writer, reader = open_durable(), open_durable()
    before = reader.change_token()
    assert reader.change_token() == before
    writer.append(drafts(0, 1))
    assert reader.change_token() != before
    assert len(reader.read(0, 9)) == 1


def test_closing_twice_is_harmless(open_durable: OpenStore) -> None:
    store = open_durable()
    store.append(drafts(0, 1))
    store.close()
    store.close()
