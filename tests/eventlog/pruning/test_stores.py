"""Pruning in every store: what goes, what stays, and what can still be proven."""

import random

import pytest

from bridge.eventlog.inspection import inspect_log
from bridge.eventlog.merkle import (
    check_consistency,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
)
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.stored_hashes import StoredHashes, stored_frontier
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import ConfigInvalid, LogPruned
from tests.eventlog.drafts import draft, drafts

SIZE = 3_000
MINIMUM = 1_536
CHECKPOINTS = (300, 512, 700, 2_100)


def prune_draft(first_index: int) -> EntryDraft:
    return EntryDraft(EntryKind.PRUNE, f"prune:{first_index}", {}, b"{}")


def sweep(log: EventLogStore) -> int:
    removed = 0
    while count := log.sweep(600):
        removed += count
    return removed


def filled(log: EventLogStore) -> EventLogStore:
    made = 0
    for size in (*CHECKPOINTS, SIZE):
        log.append(drafts(made, size))
        made = size
        if size in CHECKPOINTS:
            log.add_checkpoint(size, b"note")
    return log


def test_nothing_below_the_minimum_is_found(log: EventLogStore) -> None:
    filled(log)
    assert log.first_index() == 0
    appended = log.prune(MINIMUM, prune_draft(MINIMUM))
    assert (appended.first_index, appended.head) == (SIZE, log.head())
    for swept in (False, True):
        assert log.first_index() == MINIMUM
        assert log.find(draft(MINIMUM - 1).entry_id) is None
        found = log.find(draft(MINIMUM).entry_id)
        assert found is not None
        assert found.leaf_index == MINIMUM
        assert [entry.leaf_index for entry in log.read(0, 3)] == [MINIMUM + at for at in range(3)]
        assert log.read(MINIMUM - 2, 1)[0].leaf_index == MINIMUM
        assert len(log.read(0, SIZE)) == SIZE + 1 - MINIMUM
        assert inspect_log(log).size == SIZE + 1
        if not swept:
            assert sweep(log) == MINIMUM
    assert sweep(log) == 0


def test_proofs_of_what_is_stored_stay(log: EventLogStore) -> None:
    leaves = [entry.leaf for entry in filled(log).read(0, SIZE)]
    roots = {size: stored_frontier(log, size).root() for size in (*CHECKPOINTS, SIZE)}
    log.prune(MINIMUM, prune_draft(MINIMUM))
    sweep(log)
    head, hashes = log.head(), StoredHashes(log)
    for index in (MINIMUM, MINIMUM + 1, 2_047, 2_999):
        proof = prove_inclusion(hashes, index, head.size)
        assert check_inclusion(leaf_hash(leaves[index]), index, head.size, head.root, proof)
    # Also from checkpoints below the minimum index, which C2SP tlog-tiles does not ask for.
    for size, root in roots.items():
        proof = prove_consistency(hashes, size, head.size)
        assert check_consistency(size, root, head.size, head.root, proof)
        assert stored_frontier(log, size).root() == root
    for size in (100, 1_300, 1_535):
        with pytest.raises(LogPruned, match="was pruned"):
            prove_consistency(hashes, size, head.size)
    with pytest.raises(LogPruned):
        log.leaf_hashes(1_000, 1_600)


def test_the_tree_is_the_one_of_a_log_that_was_not_pruned(log: EventLogStore) -> None:
    whole = filled(log).head()
    log.prune(MINIMUM, prune_draft(MINIMUM))
    sweep(log)
    assert stored_frontier(log, SIZE).root() == whole.root
    log.append(drafts(SIZE, SIZE + 900))
    assert inspect_log(log).size == SIZE + 901


def test_a_log_is_pruned_again_and_again(log: EventLogStore) -> None:
    made = 0
    pick = random.Random(11)
    for _ in range(4):
        count = pick.randrange(400, 900)
        log.append(drafts(made, made + count))
        made += count
        first = log.first_index()
        minimum = pick.randrange(first // 256, made // 256 + 1) * 256
        log.prune(minimum, prune_draft(made))
        assert sweep(log) == minimum - first
        head = inspect_log(log)
        assert log.first_index() == minimum
        assert log.read(0, 1)[0].leaf_index == minimum
        assert head == log.head()


def test_everything_but_the_open_tile_may_go(log: EventLogStore) -> None:
    log.append(drafts(0, 512))
    log.prune(512, prune_draft(512))
    assert sweep(log) == 512
    assert [entry.kind for entry in log.read(0, 9)] == [EntryKind.PRUNE]
    log.append(drafts(512, 600))
    assert inspect_log(log).size == 601


def test_a_pruned_log_refuses_a_smaller_minimum(log: EventLogStore) -> None:
    filled(log).prune(MINIMUM, prune_draft(1))
    for minimum in (MINIMUM - 256, SIZE + 256, MINIMUM + 1):
        with pytest.raises(AssertionError):
            log.prune(minimum, prune_draft(2))
    assert log.first_index() == MINIMUM
    assert log.head().size == SIZE + 1


def test_refused_appends_change_nothing_and_reading_goes_on(log: EventLogStore) -> None:
    filled(log).refuse_appends(ConfigInvalid("cannot append: told so"))
    with pytest.raises(ConfigInvalid, match="told so"):
        log.append(drafts(SIZE, SIZE + 1))
    with pytest.raises(ConfigInvalid, match="told so"):
        log.prune(0, prune_draft(0))
    assert inspect_log(log).size == SIZE
