"""What the workers of one machine took from their buckets, in a small shared file.

Each worker adds to its own counters and reads the others', so that nothing is ever locked: a 32-bit
store is whole on every machine that we run on. Keys share counters: two for each key (a count-min
sketch of depth two; Cormode, Muthukrishnan 2005), of which the lower one counts, so that a stranger
is charged for another only if both coincide. With 32,768 counters a row and 1,000 busy clients that
happens to one in a thousand.
"""

import mmap
import os
from pathlib import Path
from typing import Final

CELLS: Final = 32_768
"""A row's; two rows of 4 bytes each are 256 KiB a worker."""

_ROWS: Final = 2
_SLOT_CELLS: Final = CELLS * _ROWS
_SLOT_BYTES: Final = _SLOT_CELLS * 4


class SharedSpending:
    """See `token_bucket.Spending`. `slot` is this worker's; the others' are read."""

    def __init__(self, path: Path, slot: int, slots: int) -> None:
        """Open the file, and make it as large as `slots` workers need.

        The counters of a slot go on where its last worker left them: what others have read of it
        stays true.
        """
        assert 0 <= slot < slots, (slot, slots)
        size = slots * _SLOT_BYTES
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(descriptor).st_size < size:
                os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self._cells = memoryview(self._map).cast("I")
        self._own = slot * _SLOT_CELLS
        self._others = tuple(each * _SLOT_CELLS for each in range(slots) if each != slot)

    def note(self, key: int) -> None:
        """Tell that one token of `key` was taken here."""
        cells = self._cells
        first = self._own + key % CELLS
        second = self._own + CELLS + (key >> 32) % CELLS
        cells[first] = (cells[first] + 1) & 0xFFFFFFFF
        cells[second] = (cells[second] + 1) & 0xFFFFFFFF

    def others(self, key: int) -> int:
        """Return how many of `key` were taken elsewhere, modulo 2^32."""
        cells = self._cells
        first, second = key % CELLS, CELLS + (key >> 32) % CELLS
        total = 0
        for base in self._others:
            total += min(cells[base + first], cells[base + second])
        return total & 0xFFFFFFFF

    def close(self) -> None:
        """Let the file go."""
        self._cells.release()
        self._map.close()
