"""Read any complete subtree of a stored log, for proofs."""

from collections.abc import Sequence

from bridge.eventlog.merkle import TILE_LEVELS, Frontier, Node
from bridge.eventlog.ports import EventLogReader
from bridge.eventlog.tree import tile_root
from bridge.model.errors import LogCorrupt


class StoredHashes:
    """A `HashReader` over a log: at most 128 stored hashes are read for a node."""

    def __init__(self, log: EventLogReader) -> None:
        self._log = log

    def read_hashes(self, nodes: Sequence[Node]) -> list[bytes]:
        """Return the hash of each node.

        Raises:
            LogPruned: one of them lies within a tile that was pruned.
            LogCorrupt: the log lacks one that it should have.
        """
        return [self._read(node) for node in nodes]

    def _read(self, node: Node) -> bytes:
        tile_level, height = divmod(node.level, TILE_LEVELS)
        start, stop = node.position << height, (node.position + 1) << height
        if tile_level == 0:
            hashes = self._log.leaf_hashes(start, stop)
        else:
            hashes = self._log.tile_roots(tile_level - 1, start, stop)
        if len(hashes) != stop - start:
            raise LogCorrupt(
                f"cannot prove from the event log: hashes {start} to {stop} of tile level "
                f"{tile_level} are needed, {len(hashes)} are stored"
            )
        return tile_root(hashes)


def stored_frontier(log: EventLogReader, size: int) -> Frontier:
    """Return the frontier over the first `size` leaves, from the hashes that `log` has.

    For a size that a pruned log was never signed at and that lies below its minimum index, the
    hashes are gone: it raises `LogPruned`.
    """
    levels = [level for level in reversed(range(size.bit_length())) if size >> level & 1]
    # The subtree of a level begins where all larger ones end: at the higher bits of the size.
    nodes = [Node(level, (size >> level) - 1) for level in levels]
    return Frontier(size=size, peaks=tuple(StoredHashes(log).read_hashes(nodes)))
