"""The form in which frames of an open, streamed transaction lie in its stage.

A record is a length (4 bytes, of what follows it), the frame's LSN (8), its tag (1), the xid that
it carries (4) and its body: what will be read again of an XLogData frame, and no more.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from bridge.capture.walsender import PAYLOAD_OFFSET
from bridge.model.errors import StorageUnavailable

_LSN_BYTES: Final = 8
_TAG: Final = 4 + _LSN_BYTES
_XID: Final = _TAG + 1
_BODY: Final = _XID + 4
_FRAME_HEAD: Final = b"w"
_FRAME_REST: Final = bytes(PAYLOAD_OFFSET - 1 - _LSN_BYTES)
"""End LSN and clock, which nobody asks for again."""
_DROPPED_BYTES: Final = PAYLOAD_OFFSET - _LSN_BYTES


class Record(NamedTuple):
    """One frame of a stage."""

    offset: int
    """Where it begins in the bytes that it was split from."""
    xid: int
    frame: bytes
    """As the frame of an ordinary transaction would be: without the xid."""


def append_record(buffer: bytearray, frame: bytes) -> None:
    """Append the record of `frame`, which has an xid behind its tag."""
    buffer += (len(frame) - _DROPPED_BYTES).to_bytes(4)
    buffer += frame[1 : 1 + _LSN_BYTES]
    buffer += frame[PAYLOAD_OFFSET:]


def split_records(data: bytes) -> Iterator[Record]:
    """Yield the records in `data`, which begins and ends between two records.

    Raises `StorageUnavailable` when it does not: these are not the bytes that were written.
    """
    offset, size = 0, len(data)
    while offset < size:
        end = offset + 4 + int.from_bytes(data[offset : offset + 4])
        if end > size or end < offset + _BODY:
            raise StorageUnavailable(
                f"cannot read a stage: the record at byte {offset} of {size} has no fitting "
                "length; the transaction is read again from the source"
            )
        lsn = data[offset + 4 : offset + _TAG]
        tag = data[offset + _TAG : offset + _XID]
        xid = int.from_bytes(data[offset + _XID : offset + _BODY])
        frame = b"".join((_FRAME_HEAD, lsn, _FRAME_REST, tag, data[offset + _BODY : end]))
        yield Record(offset, xid, frame)
        offset = end
