"""Which tiles a log of some size consists of, and what they are called (C2SP `tlog-tiles`).

Pure. A tile is 256 hashes of one level, or the 256 entries under them; only the last ones are
narrower. A full tile never changes, so whoever fetches a name may keep what it got for ever.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from bridge.eventlog.merkle import TILE_LEVELS
from bridge.model.errors import DecodeError

TILE_WIDTH: Final = 1 << TILE_LEVELS
LEVEL_MAX: Final = 63
INDEX_MAX: Final = 2**63 - 1

ENTRIES: Final = -1
"""The level of entry bundles, below that of the leaf hashes."""

_NAME = re.compile(
    r"tile/(?P<level>entries|0|[1-9][0-9]?)/(?P<index>(?:x[0-9]{3}/){0,6}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?",
    re.ASCII,
)


class TileName(NamedTuple):
    """One tile or entry bundle, full or partial."""

    level: int
    """0 for leaf hashes; at level n a hash covers 256^n leaves; `ENTRIES` for a bundle."""
    tile_index: int
    width: int = TILE_WIDTH

    @property
    def start(self) -> int:
        """Position of its first hash (or entry) within its level."""
        return self.tile_index * TILE_WIDTH

    @property
    def is_full(self) -> bool:
        """Whether it will never change again."""
        return self.width == TILE_WIDTH

    def path(self) -> str:
        """Return its path below the log's prefix: `tile/0/x001/x234/067.p/3`."""
        digits = f"{self.tile_index % 1000:03}"
        rest = self.tile_index // 1000
        while rest:
            digits = f"x{rest % 1000:03}/{digits}"
            rest //= 1000
        level = "entries" if self.level == ENTRIES else str(self.level)
        return f"tile/{level}/{digits}{'' if self.is_full else f'.p/{self.width}'}"

    def is_within(self, size: int) -> bool:
        """Return whether a log of `size` entries has it; an earlier size may have had it, too."""
        return self.start + self.width <= size >> TILE_LEVELS * max(self.level, 0)


def parse_tile_path(path: str) -> TileName:
    """Return the tile that `TileName.path` names; raises `DecodeError` for any other text."""
    match = _NAME.fullmatch(path)
    if match is not None:
        level = ENTRIES if match["level"] == "entries" else int(match["level"])
        index = int(match["index"].replace("/", "").replace("x", ""))
        name = TileName(level, index, int(match["width"] or TILE_WIDTH))
        # One name for one tile: no leading `x000`, no `.p/256`.
        fits = level <= LEVEL_MAX and index <= INDEX_MAX and name.width <= TILE_WIDTH
        if fits and name.path() == path:
            return name
    raise DecodeError(f"cannot find tile {path[:100]!r}: expected a path as 'tile/0/x001/234.p/7'")


def full_tiles(old_size: int, size: int) -> Iterator[TileName]:
    """Yield the full tiles and bundles that a log gains as it grows from `old_size` to `size`."""
    for level in (ENTRIES, *_levels(size)):
        shift = TILE_LEVELS * (max(level, 0) + 1)
        for index in range(old_size >> shift, size >> shift):
            yield TileName(level, index)


def partial_tiles(size: int) -> Iterator[TileName]:
    """Yield the tiles and the bundle at the right edge of a log of `size` that are not full."""
    for level in (ENTRIES, *_levels(size)):
        count = size >> TILE_LEVELS * max(level, 0)
        if width := count % TILE_WIDTH:
            yield TileName(level, count // TILE_WIDTH, width)


def _levels(size: int) -> Iterator[int]:
    level = 0
    while size >> TILE_LEVELS * level:
        yield level
        level += 1
