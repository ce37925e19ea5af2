"""Read the hashes of one proof tile by tile: a few reads of the store, however long the log."""

from collections.abc import Sequence
from typing import NamedTuple

from bridge.eventlog.merkle import TILE_LEVELS, Node
from bridge.eventlog.ports import EventLogReader
from bridge.eventlog.tree import tile_root
from bridge.model.errors import LogCorrupt


class _Span(NamedTuple):
    """Stored hashes of one tile that a node is made of."""

    tile_level: int
    start: int
    stop: int

    @property
    def tile(self) -> tuple[int, int]:
        return self.tile_level, self.start >> TILE_LEVELS


class TileHashes:
    """A `HashReader` that reads each tile once.

    The 27 nodes of a path in a log of 100 million entries lie in 4 tiles, so a store that is a
    network away is asked 4 times.
    """

    def __init__(self, log: EventLogReader) -> None:
        self._log = log

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        """Return the hash of each node.

        Raises:
            LogPruned: one of them lies within a tile that was pruned.
            LogCorrupt: the log lacks one that it should have.
        """
        spans = [_span(node) for node in nodes]
        ranges: dict[tuple[int, int], tuple[int, int]] = {}
        for span in spans:
            start, stop = ranges.get(span.tile, (span.start, span.stop))
            ranges[span.tile] = min(start, span.start), max(stop, span.stop)
        tiles = {
            tile: (start, self._read(tile[0], start, stop))
            for tile, (start, stop) in ranges.items()
        }
        found = []
        for span in spans:
            first, hashes = tiles[span.tile]
            found.append(tile_root(hashes[span.start - first : span.stop - first]))
        return found

    def _read(self, tile_level: int, start: int, stop: int) -> list[bytes]:
        if tile_level == 0:
            hashes = self._log.leaf_hashes(start, stop)
        else:
            hashes = self._log.tile_roots(tile_level - 1, start, stop)
        if len(hashes) != stop - start:
            raise LogCorrupt(
                f"cannot prove from the event log: hashes {start} to {stop} of tile level "
                f"{tile_level} are needed, {len(hashes)} are stored"
            )
        return hashes


def _span(node: Node) -> _Span:
    tile_level, height = divmod(node.level, TILE_LEVELS)
    return _Span(tile_level, node.position << height, (node.position + 1) << height)
