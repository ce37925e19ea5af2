"""The tree against the public vectors and against RFC 6962 read word by word."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.merkle import (
    EMPTY_FRONTIER,
    EMPTY_ROOT,
    Frontier,
    Node,
    check_consistency,
    check_inclusion,
    leaf_hash,
    prove_consistency,
    prove_inclusion,
)
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.model.errors import LogCorrupt
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.naive_merkle import naive_consistency, naive_inclusion, naive_root

# The reference leaves, roots and proofs of the Certificate Transparency implementations.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}
CONSISTENCY = {
    (1, 1): [],
    (1, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (6, 8): [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 5): [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


class LeafReader:
    """Computes every hash from the leaves, by the naive rule."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        return [
            naive_root(self.leaves[node.position << node.level : (node.position + 1) << node.level])
            for node in nodes
        ]


def grown(leaves: list[bytes]) -> Frontier:
    frontier, _ = EMPTY_FRONTIER.extend([leaf_hash(leaf) for leaf in leaves])
    return frontier


@pytest.mark.parametrize("size", range(9))
def test_reference_roots(size: int) -> None:
    assert grown(LEAVES[:size]).root().hex() == ROOTS[size]


@pytest.mark.parametrize(("index", "size"), INCLUSION)
def test_reference_inclusion_proofs(index: int, size: int) -> None:
    proof = prove_inclusion(LeafReader(LEAVES), index, size)
    assert [node.hex() for node in proof] == INCLUSION[index, size]


@pytest.mark.parametrize(("old_size", "size"), CONSISTENCY)
def test_reference_consistency_proofs(old_size: int, size: int) -> None:
    proof = prove_consistency(LeafReader(LEAVES), old_size, size)
    assert [node.hex() for node in proof] == CONSISTENCY[old_size, size]


def test_the_empty_tree() -> None:
    assert EMPTY_FRONTIER.root() == EMPTY_ROOT == naive_root([])
    assert not check_inclusion(leaf_hash(b""), 0, 0, EMPTY_ROOT, [])


trees = st.integers(1, 70).map(lambda size: [b"leaf %d" % at for at in range(size)])


@EXAMPLES
@given(leaves=trees, data=st.data())
def test_a_tree_grows_alike_in_any_batches(leaves: list[bytes], data: st.DataObject) -> None:
    frontier, rest = EMPTY_FRONTIER, leaves
    while rest:
        count = data.draw(st.integers(1, len(rest)))
        frontier, _ = frontier.extend([leaf_hash(leaf) for leaf in rest[:count]])
        frontier, rest = Frontier.from_bytes(frontier.to_bytes()), rest[count:]
    assert frontier.root() == naive_root(leaves)
    assert frontier.size == len(leaves)


@EXAMPLES
@given(leaves=trees, data=st.data())
def test_inclusion_proofs_prove_and_nothing_else_does(
    leaves: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    size, root, leaf = len(leaves), naive_root(leaves), leaf_hash(leaves[index])
    proof = prove_inclusion(LeafReader(leaves), index, size)
    assert proof == naive_inclusion(index, leaves)
    assert check_inclusion(leaf, index, size, root, proof)
    other = data.draw(st.integers(-1, size + 1).filter(lambda other: other != index))
    assert not check_inclusion(leaf, other, size, root, proof)
    assert not check_inclusion(leaf_hash(b"forged"), index, size, root, proof)
    assert not check_inclusion(leaf, index, size, leaf_hash(b""), proof)
    assert not check_inclusion(leaf, index, size, root, [*proof, root])
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        assert not check_inclusion(leaf, index, size, root, proof[:at] + proof[at + 1 :])
        changed = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]
        assert not check_inclusion(leaf, index, size, root, changed)


@EXAMPLES
@given(leaves=trees, data=st.data())
def test_consistency_proofs_prove_and_nothing_else_does(
    leaves: list[bytes], data: st.DataObject
) -> None:
    size = len(leaves)
    old_size = data.draw(st.integers(1, size))
    old_root, root = naive_root(leaves[:old_size]), naive_root(leaves)
    proof = prove_consistency(LeafReader(leaves), old_size, size)
    assert proof == naive_consistency(old_size, leaves)
    assert check_consistency(old_size, old_root, size, root, proof)
    assert not check_consistency(old_size, leaf_hash(b""), size, root, proof)
    assert not check_consistency(old_size, old_root, size, leaf_hash(b""), proof)
    assert not check_consistency(0, old_root, size, root, proof)
    assert not check_consistency(size + 1, old_root, size, root, proof)
    assert not check_consistency(old_size, old_root, size, root, [*proof, root])
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        changed = [*proof[:at], leaf_hash(proof[at]), *proof[at + 1 :]]
        assert not check_consistency(old_size, old_root, size, root, changed)


def test_proofs_from_stored_tiles_hold_across_tile_levels() -> None:
    log, frontiers = MemoryEventLog(), {}
    # Past 65,536 a second tile level begins; small steps around the borders.
    for size in (1, 255, 256, 257, 600, 65_535, 65_536, 65_537, 66_100):
        log.append(drafts(log.head().size, size))
        frontiers[size] = log.head().root
    hashes, head = StoredHashes(log), log.head()
    for index in (0, 255, 256, 599, 65_535, 65_536, 66_099):
        [leaf] = log.leaf_hashes(index, index + 1)
        proof = prove_inclusion(hashes, index, head.size)
        assert check_inclusion(leaf, index, head.size, head.root, proof)
    for old_size, old_root in frontiers.items():
        proof = prove_consistency(hashes, old_size, head.size)
        assert check_consistency(old_size, old_root, head.size, head.root, proof)


def test_a_proof_over_what_is_not_stored_says_so() -> None:
    log = MemoryEventLog()
    log.append(drafts(0, 3))
    with pytest.raises(LogCorrupt, match="1 are stored"):
        StoredHashes(log).read_hashes([Node(1, 1)])


@pytest.mark.parametrize("data", [b"", b"\x00" * 7, b"\x00" * 8 + b"x", b"\xff" * 8 + b"x" * 32])
def test_a_malformed_frontier_is_refused(data: bytes) -> None:
    with pytest.raises(LogCorrupt, match="frontier"):
        Frontier.from_bytes(data)
