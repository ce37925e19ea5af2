"""The generation file: how the processes of one machine learn at once that a switch happened.

A small memory-mapped file holds one growing number and one slot per running replica. A replica
reads the number at each request (well under a microsecond, no system call), rebuilds its tables
when it grew, and writes the number that it decides by into its slot. The number is a hint and an
acknowledgement, never the truth: that is the epoch in the write journal, which refuses old writes.

A slot is alive while its byte in the file is locked; the kernel unlocks it when its process ends,
however it ends. Claim slots after forking, never before.
"""

import mmap
import os
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bridge.model.errors import LimitExceeded, StorageUnavailable
from bridge.storage.journal.owner import is_locked, lock_byte, unlock_byte
from bridge.switching.ports import SlotView

_MAGIC: Final = 0x4C42_4745_4E00_0001  # "LBGEN", layout 1
_SLOT_BYTES: Final = 128
_OWNER_BYTES: Final = 104
_SLOTS_AT: Final = 128
# Far above the workers of one machine; a full table means leaked slots, not growth.
SLOT_COUNT_MAX: Final = 64
_SIZE: Final = _SLOTS_AT + SLOT_COUNT_MAX * _SLOT_BYTES

# Bytes beyond the mapping serve as locks: no data stands there.
_HEADER_LOCK_AT: Final = 1 << 20
_SLOT_LOCKS_AT: Final = _HEADER_LOCK_AT + 1

# Places of 64-bit words.
_MAGIC_WORD: Final = 0
_CURRENT_WORD: Final = 1


class Generation:
    """One process's view of the generation file."""

    def __init__(self, descriptor: int, mapping: mmap.mmap) -> None:
        self._descriptor = descriptor
        self._mapping = mapping
        # One aligned 64-bit store or load each: other processes never see half a number.
        self._words = memoryview(mapping).cast("Q")
        self._own: set[int] = set()

    @classmethod
    def open(cls, path: Path) -> "Generation":
        """Open the file at `path`, made when absent."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            lock_byte(descriptor, _HEADER_LOCK_AT, wait=True)
            if os.fstat(descriptor).st_size < _SIZE:
                os.ftruncate(descriptor, _SIZE)
            mapping = mmap.mmap(descriptor, _SIZE)
            found = struct.unpack_from("=Q", mapping, 0)[0]
            if found not in (0, _MAGIC):
                mapping.close()
                raise StorageUnavailable(
                    f"cannot use {path.name!r} as generation file: it starts with {found:#x}, "
                    f"not {_MAGIC:#x}; remove it while nothing runs"
                )
            if found == 0:
                struct.pack_into("=QQ", mapping, 0, _MAGIC, 1)
            unlock_byte(descriptor, _HEADER_LOCK_AT)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, mapping)

    def current(self) -> int:
        """Return the generation that everybody should decide by."""
        return self._words[_CURRENT_WORD]

    def bump(self) -> int:
        """Begin a new generation and return its number."""
        lock_byte(self._descriptor, _HEADER_LOCK_AT, wait=True)
        try:
            following = self._words[_CURRENT_WORD] + 1
            self._words[_CURRENT_WORD] = following
        finally:
            unlock_byte(self._descriptor, _HEADER_LOCK_AT)
        return following

    def claim_slot(self, owner: str) -> int:
        """Take a free slot for `owner`, held until `release_slot`, `close` or our death.

        Claim it before the tables are read for the first time: a switch waits for live slots.

        Raises:
            LimitExceeded: every slot is held by a live process.
        """
        name = owner.encode()[:_OWNER_BYTES]
        for slot in range(SLOT_COUNT_MAX):
            if slot in self._own or not lock_byte(self._descriptor, _SLOT_LOCKS_AT + slot):
                continue
            self._own.add(slot)
            start = _SLOTS_AT + slot * _SLOT_BYTES
            self._mapping[start : start + _SLOT_BYTES] = struct.pack(
                f"=QQQ{_OWNER_BYTES}s", 0, time.monotonic_ns(), os.getpid(), name
            )
            return slot
        raise LimitExceeded(
            f"cannot claim a generation slot for {owner!r}: all {SLOT_COUNT_MAX} are held by "
            "live processes; stop some"
        )

    def adopted(self, slot: int, generation: int) -> None:
        """Say that this replica decides by `generation` from now on."""
        word = (_SLOTS_AT + slot * _SLOT_BYTES) // 8
        self._words[word] = generation
        self._words[word + 1] = time.monotonic_ns()

    def beat(self, slot: int) -> None:
        """Say that this replica's loop still turns."""
        self._words[(_SLOTS_AT + slot * _SLOT_BYTES) // 8 + 1] = time.monotonic_ns()

    def release_slot(self, slot: int) -> None:
        """Give the slot free."""
        start = _SLOTS_AT + slot * _SLOT_BYTES
        self._mapping[start : start + _SLOT_BYTES] = bytes(_SLOT_BYTES)
        self._own.discard(slot)
        unlock_byte(self._descriptor, _SLOT_LOCKS_AT + slot)

    def live_slots(self) -> Sequence[SlotView]:
        """Return the slots whose process is alive, our own included."""
        now = time.monotonic_ns()
        views = []
        for slot in range(SLOT_COUNT_MAX):
            start = _SLOTS_AT + slot * _SLOT_BYTES
            adopted, beat_at, _, name = struct.unpack_from(
                f"=QQQ{_OWNER_BYTES}s", self._mapping, start
            )
            # Our own locks do not show when we ask about them.
            if slot not in self._own and not is_locked(self._descriptor, _SLOT_LOCKS_AT + slot):
                continue
            owner = name.rstrip(b"\0").decode(errors="replace")
            views.append(SlotView(slot, owner, adopted, max(0, now - beat_at) / 1e9))
        return views

    def close(self) -> None:
        """Release the file and every slot claimed through it."""
        self._words.release()
        self._mapping.close()
        os.close(self._descriptor)
