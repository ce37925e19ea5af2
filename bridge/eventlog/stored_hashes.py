"""Read any complete subtree of a stored log, for proofs."""

from collections.abc import Sequence

from bridge.eventlog.merkle import TILE_LEVELS, Frontier, Node
from bridge.eventlog.ports import EventLogReader
from bridge.eventlog.tree import TILE_HASHES, tile_root
from bridge.model.errors import LogCorrupt


class StoredHashes:
    """A `HashReader` over a log: a proof reads as many tiles as the tree has tile levels, or two
    for each."""

    def __init__(self, log: EventLogReader) -> None:
        self._log = log

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        """Return the hash of each node.

        Raises:
            LogPruned: one of them lies within a tile that was pruned.
            LogCorrupt: the log lacks one that it should have.
        """
        # The nodes of a proof lie beside one another, most of them in few tiles.
        tiles: dict[tuple[int, int], list[bytes]] = {}
        return [self._read(node, tiles) for node in nodes]

    def _read(self, node: Node, tiles: dict[tuple[int, int], list[bytes]]) -> bytes:
        tile_level, height = divmod(node.level, TILE_LEVELS)
        start, stop = node.position << height, (node.position + 1) << height
        tile = start // TILE_HASHES
        hashes = tiles.get((tile_level, tile))
        if hashes is None:
            hashes = tiles[tile_level, tile] = self._tile(tile_level, tile)
        found = hashes[start - tile * TILE_HASHES : stop - tile * TILE_HASHES]
        if len(found) != stop - start:
            raise LogCorrupt(
                f"cannot prove from the event log: hashes {start} to {stop} of tile level "
                f"{tile_level} are needed, {len(found)} are stored"
            )
        return tile_root(found)

    def _tile(self, level: int, tile: int) -> list[bytes]:
        """Return what there is of a tile: all of it, or less at the end of the log."""
        start, stop = tile * TILE_HASHES, (tile + 1) * TILE_HASHES
        if level == 0:
            return self._log.leaf_hashes(start, stop)
        return self._log.tile_roots(level - 1, start, stop)


def stored_frontier(log: EventLogReader, size: int) -> Frontier:
    """Return the frontier over the first `size` leaves, from the hashes that `log` has.

    For a size that a pruned log was never signed at and that lies below its minimum index, the
    hashes are gone: it raises `LogPruned`.
    """
    levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
    # The subtree of a level begins where all larger ones end: at the higher bits of the size.
    nodes = [Node(level, (size >> level) - 1) for level in levels]
    return Frontier(size=size, peaks=tuple(StoredHashes(log).read_hashes(nodes)))
