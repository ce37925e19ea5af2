"""What a tile or an entry bundle of a stored log holds, byte for byte (C2SP `tlog-tiles`)."""

from typing import Protocol

from bridge.eventlog.leaf import LEAF_BYTES_MAX
from bridge.eventlog.merkle import leaf_hash
from bridge.eventlog.ports import EventLogReader, PrunableLog
from bridge.eventlog.tiles.tile_paths import ENTRIES, TileName
from bridge.model.errors import LogCorrupt, LogPruned


class ReadableLog(EventLogReader, PrunableLog, Protocol):
    """A log that says how far back it goes."""


LENGTH_BYTES = 2


class TileContents:
    """Reads tiles of a log; it never holds more than one bundle."""

    def __init__(self, log: ReadableLog) -> None:
        self._log = log

    def read(self, name: TileName) -> bytes | None:
        """Return the bytes of a tile within the log, or None for what was pruned.

        A tile is its hashes one after the other; a bundle is its leaves, each behind its length in
        two bytes (big-endian).

        Raises:
            LogCorrupt: the store lacks what the tile is made of, or a leaf has another hash.
        """
        try:
            return self._bundle(name) if name.level == ENTRIES else self._tile(name)
        except LogPruned:
            return None

    def _tile(self, name: TileName) -> bytes:
        start, stop = name.start, name.start + name.width
        if name.level == 0:
            hashes = self._log.leaf_hashes(start, stop)
        else:
            hashes = self._log.tile_roots(name.level - 1, start, stop)
        if len(hashes) != name.width:
            raise LogCorrupt(
                f"cannot make {name.path()!r} of the event log: it has {name.width} hashes, "
                f"{len(hashes)} are stored"
            )
        return b"".join(hashes)

    def _bundle(self, name: TileName) -> bytes | None:
        entries = self._log.read(name.start, name.width)
        hashes = self._log.leaf_hashes(name.start, name.start + name.width)
        # Asked last: it may have been pruned while it was read.
        if name.start < self._log.first_index():
            return None
        parts = []
        for at in range(name.width):
            index = name.start + at
            leaf = entries[at].leaf if at < len(entries) else None
            if leaf is None or entries[at].leaf_index != index or at >= len(hashes):
                raise LogCorrupt(
                    f"cannot make {name.path()!r} of the event log: entry {index} is missing"
                )
            if leaf_hash(leaf) != hashes[at]:
                raise LogCorrupt(
                    f"event log is not what was appended: entry {index} hashes to "
                    f"{leaf_hash(leaf).hex()[:8]}…, not {hashes[at].hex()[:8]}…"
                )
            parts += [len(leaf).to_bytes(LENGTH_BYTES, "big"), leaf]
        return b"".join(parts)


def split_bundle(data: bytes) -> list[bytes]:
    """Return the leaves of an entry bundle; raises `LogCorrupt` when it was cut."""
    leaves: list[bytes] = []
    at = 0
    while at < len(data):
        stop = at + LENGTH_BYTES + int.from_bytes(data[at : at + LENGTH_BYTES], "big")
        if stop > len(data) or at + LENGTH_BYTES > len(data):
            raise LogCorrupt(f"cannot read an entry bundle: it ends within leaf {len(leaves)}")
        leaves.append(data[at + LENGTH_BYTES : stop])
        at = stop
    return leaves


assert LEAF_BYTES_MAX < 1 << 8 * LENGTH_BYTES, "a leaf fits its length"
