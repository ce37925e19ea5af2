"""Which published messages the broker has not answered yet, and how far everything is confirmed.

Pure. The broker numbers the messages of a channel 1, 2, 3, … and answers in any order, one by one
or "everything up to this one" (`multiple`). What may be called durable is only the unbroken run
from the start: the low-water mark.
"""

from collections import deque

from bridge.model.errors import DecodeError


class ConfirmWindow:
    """Outstanding messages of one channel, in the order in which they were sent."""

    __slots__ = ("_early", "_oldest_tag", "_open", "bytes", "through")

    def __init__(self) -> None:
        self._open: deque[tuple[int, int]] = deque()
        """(leaf index, bytes) of each message from `_oldest_tag` on."""
        self._oldest_tag = 1
        self._early: set[int] = set()
        """Tags above the low-water mark that are confirmed already."""
        self.through = -1
        """Leaf index up to which every sent message is confirmed; -1 for none."""
        self.bytes = 0
        """Body bytes between the low-water mark and the newest message."""

    def __len__(self) -> int:
        """Count messages from the oldest unconfirmed one on; the window's limit is on these."""
        return len(self._open)

    @property
    def oldest_index(self) -> int | None:
        """Leaf index of the oldest message without an answer."""
        return self._open[0][0] if self._open else None

    def sent(self, leaf_index: int, size: int) -> None:
        """Take note of the next message of the channel, `size` bytes of body."""
        self._open.append((leaf_index, size))
        self.bytes += size

    def confirm(self, tag: int, *, multiple: bool) -> None:
        """Take the broker's word that `tag`, or everything up to it, is durable.

        Raises:
            DecodeError: the broker names a message that is not outstanding.
        """
        self.index_of(tag)
        if multiple:
            while self._oldest_tag <= tag:
                self._pass_oldest()
        elif tag == self._oldest_tag:
            self._pass_oldest()
        else:
            self._early.add(tag)
        while self._oldest_tag in self._early:
            self._pass_oldest()

    def index_of(self, tag: int) -> int:
        """Return the leaf index that was sent as `tag`.

        Raises:
            DecodeError: it is not outstanding.
        """
        place = tag - self._oldest_tag
        if not 0 <= place < len(self._open) or tag in self._early:
            raise DecodeError(
                f"cannot use the broker's answer to message {tag}: outstanding are "
                f"{len(self._open)} from {self._oldest_tag} on"
            )
        return self._open[place][0]

    def _pass_oldest(self) -> None:
        self._early.discard(self._oldest_tag)
        self.through, size = self._open.popleft()
        self.bytes -= size
        self._oldest_tag += 1
