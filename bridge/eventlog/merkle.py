"""Merkle tree arithmetic of RFC 6962 section 2.1 (the same tree as RFC 9162).

Pure: it stores nothing. A `Frontier` grows by leaf hashes; proofs are made over a one-method
`HashReader` and checked from the proof alone. `prove_*` and `check_*` come in pairs: what the one
makes, the other accepts, and it accepts nothing else.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple, Protocol

from bridge.model.errors import LogCorrupt

HASH_BYTES = 32

EMPTY_ROOT = sha256(b"").digest()

TILE_LEVELS = 8
"""A tile spans 8 levels, so 256 hashes: the shape of C2SP tlog-tiles."""


class Node(NamedTuple):
    """A complete subtree: the leaves from `position << level` to `(position + 1) << level`."""

    level: int
    position: int


class HashReader(Protocol):
    """Reads hashes of complete subtrees."""

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        """Return the hash of each node, in the same order; all nodes are within the tree."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash of one leaf."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """The right edge of a tree: all that is needed to append to it and to know its root."""

    size: int
    peaks: tuple[bytes, ...]
    """Hashes of the complete subtrees that cover the leaves, largest first: one for each bit that
    is set in `size`."""

    def __post_init__(self) -> None:
        if self.size < 0 or len(self.peaks) != self.size.bit_count():
            raise LogCorrupt(
                f"cannot use a tree frontier: size {self.size} needs "
                f"{max(self.size, 0).bit_count()} hashes, found {len(self.peaks)}"
            )

    def extend(self, leaf_hashes: Iterable[bytes]) -> tuple["Frontier", list[tuple[Node, bytes]]]:
        """Return the frontier after `leaf_hashes`, and the tile roots that they completed.

        A tile root is a node whose level is a multiple of 8 (above 0), in the order of completion.
        """
        stack = list(self.peaks)
        pop, push = stack.pop, stack.append
        hashed = sha256
        size = self.size
        completed: list[tuple[Node, bytes]] = []
        for leaf in leaf_hashes:
            # Each trailing one bit of the size is a peak of the same height as what we hold.
            rest, node, level = size, leaf, 0
            while rest & 1:
                node = hashed(b"\x01" + pop() + node).digest()
                rest >>= 1
                level += 1
                if not level & 7:
                    completed.append((Node(level, rest), node))
            push(node)
            size += 1
        return Frontier(size=size, peaks=tuple(stack)), completed

    def root(self) -> bytes:
        """Return the root hash of the tree."""
        if not self.peaks:
            return EMPTY_ROOT
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = node_hash(peak, root)
        return root

    def to_bytes(self) -> bytes:
        """Return the stored form: the size in 8 bytes, then the peaks."""
        return self.size.to_bytes(8, "big") + b"".join(self.peaks)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Frontier":
        """Return the frontier that `to_bytes` gave; raises `LogCorrupt` for anything else."""
        if len(data) < 8 or (len(data) - 8) % HASH_BYTES:
            raise LogCorrupt(
                f"cannot read a tree frontier: {len(data)} bytes are not 8 and a multiple of 32"
            )
        peaks = tuple(data[at : at + HASH_BYTES] for at in range(8, len(data), HASH_BYTES))
        return cls(size=int.from_bytes(data[:8], "big"), peaks=peaks)


EMPTY_FRONTIER = Frontier(size=0, peaks=())


def prove_inclusion(reader: HashReader, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree over the first `size` leaves."""
    assert 0 <= index < size, f"leaf {index} is not in a tree of {size}"
    return _read_spans(reader, _inclusion_spans(index, 0, size))


def check_inclusion(
    leaf: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Return whether `proof` shows that leaf hash `leaf` is at `index` under `root` (RFC 9162
    section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, node = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and node == root


def prove_consistency(reader: HashReader, old_size: int, size: int) -> list[bytes]:
    """Return the proof that the tree of `old_size` leaves is a prefix of the tree of `size`."""
    assert 0 < old_size <= size, f"no proof from tree size {old_size} to {size}"
    return _read_spans(reader, _consistency_spans(old_size, 0, size, True))


def check_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> bool:
    """Return whether `proof` shows that the old tree is a prefix (RFC 9162 section 2.1.4.2)."""
    if not 0 < old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    path = list(proof)
    if not old_size & (old_size - 1):
        path.insert(0, old_root)
    if not path:
        return False
    position, last = old_size - 1, size - 1
    while position & 1:
        position >>= 1
        last >>= 1
    old_node = node = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            old_node = node_hash(sibling, old_node)
            node = node_hash(sibling, node)
            while not position & 1 and position:
                position >>= 1
                last >>= 1
        else:
            node = node_hash(node, sibling)
        position >>= 1
        last >>= 1
    return last == 0 and old_node == old_root and node == root


Span = tuple[int, int]
"""Leaves from the first number up to, not including, the second."""


def _split(size: int) -> int:
    """Return the largest power of two below `size` (RFC 6962's k)."""
    return 1 << (size - 1).bit_length() - 1


def _inclusion_spans(index: int, start: int, stop: int) -> list[Span]:
    spans: list[Span] = []
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            spans.append((middle, stop))
            stop = middle
        else:
            spans.append((start, middle))
            start = middle
    return spans[::-1]


def _consistency_spans(old_stop: int, start: int, stop: int, whole: bool) -> list[Span]:
    """RFC 6962's SUBPROOF; `whole` while the old tree's own root is what the verifier knows."""
    if old_stop == stop:
        return [] if whole else [(start, stop)]
    middle = start + _split(stop - start)
    if old_stop <= middle:
        return [*_consistency_spans(old_stop, start, middle, whole), (middle, stop)]
    return [*_consistency_spans(old_stop, middle, stop, False), (start, middle)]


def _read_spans(reader: HashReader, spans: Sequence[Span]) -> list[bytes]:
    """Return the hash of each span, read in one call."""
    covers = [_cover(start, stop) for start, stop in spans]
    hashes = iter(reader.read_hashes([node for cover in covers for node in cover]))
    folded = []
    for cover in covers:
        peaks = [next(hashes) for _ in cover]
        node = peaks.pop()
        while peaks:
            node = node_hash(peaks.pop(), node)
        folded.append(node)
    return folded


def _cover(start: int, stop: int) -> list[Node]:
    """Return the complete subtrees that make up a span, left to right."""
    nodes = []
    while start < stop:
        level = (stop - start).bit_length() - 1
        assert not start & ((1 << level) - 1), f"span at {start} is not a subtree"
        nodes.append(Node(level, start >> level))
        start += 1 << level
    return nodes
