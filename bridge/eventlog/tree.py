"""Grow the log's tree by a batch of drafts: from values to the rows that a store writes.

Pure, and the same for every store: a store begins its transaction, hands over the tree as it stands
there, and writes the rows, tiles and frontier of the returned `Growth` in that transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from bridge.eventlog.leaf import encode_fields, make_leaf
from bridge.eventlog.merkle import (
    EMPTY_FRONTIER,
    HASH_BYTES,
    TILE_LEVELS,
    Frontier,
    leaf_hash,
    node_hash,
)
from bridge.model.entry import EntryDraft, EntryKind, StoredEntry, TreeHead
from bridge.model.errors import LogCorrupt

TILE_HASHES = 1 << TILE_LEVELS

EntryRow = tuple[int, str, str, str | None, str | None, bytes, bytes]
"""An entry as stores keep it: the fields of `StoredEntry` in order, the kind as its text."""

KINDS: Mapping[str, EntryKind] = {kind.value: kind for kind in EntryKind}


class Tile(NamedTuple):
    """A complete tile: 256 hashes of one tile level and the root over them."""

    level: int
    """0 for leaf hashes; at level n a hash covers 256^n leaves."""
    tile_index: int
    root: bytes
    hashes: bytes | None
    """8,192 bytes at level 0; None above, where the hashes are the roots of the level below."""


class LogTree(NamedTuple):
    """What an appender has to know about the log so far."""

    frontier: Frontier
    tail: tuple[bytes, ...]
    """Leaf hashes after the last complete level-0 tile."""


class Growth(NamedTuple):
    """What one append adds."""

    rows: list[EntryRow]
    tiles: list[Tile]
    tree: LogTree
    head: TreeHead


EMPTY_TREE = LogTree(EMPTY_FRONTIER, ())


def grow(tree: LogTree, drafts: Sequence[EntryDraft]) -> Growth:
    """Return what appending `drafts` to `tree` makes.

    Raises:
        LimitExceeded: a leaf would be too large; nothing is half done, as nothing is stored here.
    """
    index = tree.frontier.size
    rows: list[EntryRow] = []
    hashes: list[bytes] = []
    last_fields: object = None
    fields_json = b""
    for draft in drafts:
        kind, entry_id, fields, payload, routing_key, partition_key, _ = draft
        # Capture hands over one object for all like changes of a transaction; encoding it is the
        # largest part of a leaf's cost.
        if fields is not last_fields:
            last_fields, fields_json = fields, encode_fields(fields)
        leaf = make_leaf(draft, index, fields_json)
        rows.append((index, kind._value_, entry_id, routing_key, partition_key, leaf, payload))
        hashes.append(sha256(b"\x00" + leaf).digest())
        index += 1
    frontier, completed = tree.frontier.extend(hashes)
    level_0 = [*tree.tail, *hashes]
    tiles = []
    for node, root in completed:
        # The node at level 8 (n + 1) is the root of a tile at tile level n.
        if node.level == TILE_LEVELS:
            tile, level_0 = level_0[:TILE_HASHES], level_0[TILE_HASHES:]
            tiles.append(Tile(0, node.position, root, b"".join(tile)))
        else:
            tiles.append(Tile(node.level // TILE_LEVELS - 1, node.position, root, None))
    head = TreeHead(size=frontier.size, root=frontier.root())
    return Growth(rows, tiles, LogTree(frontier, tuple(level_0)), head)


def first_of_each(drafts: Iterable[EntryDraft]) -> dict[str, EntryDraft]:
    """Return the drafts by id, in order; of those with one id the first."""
    firsts: dict[str, EntryDraft] = {}
    for draft in drafts:
        firsts.setdefault(draft.entry_id, draft)
    return firsts


def restore_tree(frontier: Frontier, tail_leaves: Iterable[bytes]) -> LogTree:
    """Return the tree of a stored frontier and the leaves after the last complete tile.

    Raises:
        LogCorrupt: the leaves are not the ones that the frontier was built from.
    """
    tail = tuple(leaf_hash(leaf) for leaf in tail_leaves)
    count = frontier.size % TILE_HASHES
    rebuilt, _ = Frontier(size=0, peaks=()).extend(tail)
    if (
        len(tail) != count
        or rebuilt.peaks != frontier.peaks[len(frontier.peaks) - len(rebuilt.peaks) :]
    ):
        raise LogCorrupt(
            f"event log is not what was appended: its last {count} entries of {frontier.size} "
            f"({len(tail)} found) do not hash to the stored tree; appends are stopped, "
            "compare the store with its backups and exports"
        )
    return LogTree(frontier, tail)


def stored_entry(row: EntryRow) -> StoredEntry:
    """Return the entry that a stored row holds."""
    index, kind, entry_id, routing_key, partition_key, leaf, payload = row
    return StoredEntry(index, KINDS[kind], entry_id, routing_key, partition_key, leaf, payload)


def tile_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root over a power of two of hashes."""
    level = list(hashes)
    while len(level) > 1:
        level = [
            node_hash(left, right) for left, right in zip(level[::2], level[1::2], strict=True)
        ]
    return level[0]


def split_hashes(data: bytes) -> list[bytes]:
    """Return the hashes that a tile's bytes hold."""
    return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]
