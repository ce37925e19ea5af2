"""The form in which frames of an open, streamed transaction lie in its stage.

A record is a length (4 bytes), the xid that the frame carried (4), and the frame as it would be in
an ordinary transaction: without the xid. The length is the frame's.
"""

from collections.abc import Iterator
from typing import Final

from bridge.capture.protocol.walsender import PAYLOAD_OFFSET
from bridge.model.errors import StorageUnavailable

_XID: Final = PAYLOAD_OFFSET + 1
_BODY: Final = _XID + 4
_HEAD_BYTES: Final = 8


def append_record(buffer: bytearray, frame: bytes) -> None:
    """Append the record of `frame`, which has an xid behind its tag."""
    buffer += (len(frame) - 4).to_bytes(4)
    buffer += frame[_XID:_BODY]
    buffer += frame[:_XID]
    buffer += frame[_BODY:]


def split_records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the frame of each record in `data`, from one record's begin to an end.

    Raises `StorageUnavailable` when these are not the bytes that were written.
    """
    offset, size = 0, len(data)
    while offset < size:
        start = offset + _HEAD_BYTES
        end = start + int.from_bytes(data[offset : offset + 4])
        if end > size or end < start + _XID:
            raise StorageUnavailable(
                f"cannot read a stage: the record at byte {offset} of {size} has no fitting "
                "length; the transaction is read again from the source"
            )
        yield offset, data[start:end]
        offset = end


def record_xid(data: bytes, offset: int) -> int:
    """Return the xid of the record at `offset`."""
    return int.from_bytes(data[offset + 4 : offset + _HEAD_BYTES])
