"""The tree's arithmetic against an independent library, and against the probes of another."""

from collections.abc import Sequence

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymerkle.proof import ConsistencyProof, InclusionProof

from bridge.eventlog.merkle import (
    EMPTY_ROOT,
    check_consistency,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
)
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.test_merkle import CONSISTENCY, INCLUSION, LEAVES, ROOTS

SIZE = 300


@pytest.fixture(scope="module")
def log() -> MemoryEventLog:
    """A log that is longer than a tile."""
    made = MemoryEventLog()
    made.append(drafts(0, SIZE))
    return made


@pytest.fixture(scope="module")
def tree(log: MemoryEventLog) -> pymerkle.InmemoryTree:
    """The same leaves in the other library's tree."""
    made = pymerkle.InmemoryTree(algorithm="sha256")
    for entry in log.read(0, SIZE):
        made.append_entry(entry.leaf)
    return made


@EXAMPLES
@given(data=st.data())
def test_our_inclusion_proofs_are_the_library_s(
    log: MemoryEventLog, tree: pymerkle.InmemoryTree, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, SIZE))
    index = data.draw(st.integers(0, size - 1))
    [leaf] = log.leaf_hashes(index, index + 1)
    root = tree.get_root(size)
    ours = prove_inclusion(StoredHashes(log), index, size)
    theirs = tree.prove_inclusion(index + 1, size)
    assert check_inclusion(leaf, index, size, root, theirs.path[1:])
    # Their verifier takes our hashes; it counts from one and has the leaf's own hash in the path.
    InclusionProof(
        algorithm="sha256",
        security=True,
        size=size,
        index=index + 1,
        rule=theirs.rule,
        path=[leaf, *ours],
    ).verify(leaf, root, index=index + 1, size=size)


@EXAMPLES
@given(data=st.data())
def test_our_consistency_proofs_hold_for_the_library_s_roots(
    log: MemoryEventLog, tree: pymerkle.InmemoryTree, data: st.DataObject
) -> None:
    size = data.draw(st.integers(1, SIZE))
    old_size = data.draw(st.integers(1, size))
    ours = prove_consistency(StoredHashes(log), old_size, size)
    old_root, root = tree.get_root(old_size), tree.get_root(size)
    assert check_consistency(old_size, old_root, size, root, ours)
    theirs: ConsistencyProof = tree.prove_consistency(old_size, size)
    theirs.verify(old_root, root, prior_size=old_size, later_size=size)


# The probes of transparency-dev/merkle, proof/verify_test.go: a proof that holds, changed in each
# of these ways, does not.
SOME_HASH = bytes.fromhex("abacaba000000000000000000000000000000000000000000060061e00123456")

Proof = Sequence[bytes]


@pytest.mark.parametrize(("index", "size"), [each for each in INCLUSION if INCLUSION[each]])
def test_changed_inclusion_proofs_are_refused(index: int, size: int) -> None:
    proof = [bytes.fromhex(node) for node in INCLUSION[index, size]]
    leaf, root = leaf_hash(LEAVES[index]), bytes.fromhex(ROOTS[size])
    assert check_inclusion(leaf, index, size, root, proof)
    changed_bits = [
        [*proof[:at], bytes([node[0] ^ 8]) + node[1:], *proof[at + 1 :]]
        for at, node in enumerate(proof)
    ]
    probes: list[tuple[bytes, int, int, bytes, Proof]] = [
        (leaf, index - 1, size, root, proof),
        (leaf, index + 1, size, root, proof),
        (leaf, index ^ 2, size, root, proof),
        (leaf, index, size * 2, root, proof),
        (leaf, index, size // 2, root, proof),
        (b"WrongLeaf", index, size, root, proof),
        (leaf, index, size, EMPTY_ROOT, proof),
        (leaf, index, size, SOME_HASH, proof),
        *(
            (leaf, index, size, root, other)
            for other in (
                [*proof, b""], [*proof, root], [b"", *proof], [root, *proof], *changed_bits,
                proof[:-1], [proof[0], SOME_HASH, *proof[1:]],
            )
        ),
    ]  # fmt: skip
    for probe in probes:
        assert not check_inclusion(*probe), probe


@pytest.mark.parametrize(("old", "size"), [each for each in CONSISTENCY if CONSISTENCY[each]])
def test_changed_consistency_proofs_are_refused(old: int, size: int) -> None:
    proof = [bytes.fromhex(node) for node in CONSISTENCY[old, size]]
    old_root, root = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
    assert check_consistency(old, old_root, size, root, proof)
    changed_bits = [
        [*proof[:at], bytes([node[0] ^ 16]) + node[1:], *proof[at + 1 :]]
        for at, node in enumerate(proof)
    ]
    probes: list[tuple[int, bytes, int, bytes, Proof]] = [
        (old - 1, old_root, size, root, proof),
        (old + 1, old_root, size, root, proof),
        (old ^ 2, old_root, size, root, proof),
        (old, old_root, size * 2, root, proof),
        (old, old_root, size // 2, root, proof),
        (old, b"WrongRoot", size, root, proof),
        (old, old_root, size, b"WrongRoot", proof),
        (old, root, size, old_root, proof),
        *(
            (old, old_root, size, root, other)
            for other in (
                [], [*proof, b""], [*proof, old_root], [*proof, root], [b"", *proof],
                [old_root, *proof], [root, *proof], [proof[0], *proof], proof[:-1], *changed_bits,
            )
        ),
    ]  # fmt: skip
    for probe in probes:
        assert not check_consistency(*probe), probe
