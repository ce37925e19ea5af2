"""Frames of PostgreSQL's streaming replication protocol, inside COPY BOTH.

The server sends XLogData (`w`: start LSN, end LSN, clock, payload) and keepalives (`k`: current
end, clock, reply-now flag); we send status updates (`r`). Positions are 64-bit byte offsets,
clocks are microseconds since 2000-01-01 UTC.
"""

import struct
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from bridge.model.errors import DecodeError

XLOG_DATA: Final = ord("w")
KEEPALIVE: Final = ord("k")

CLOCK_OFFSET: Final = 17
"""Where the time of sending stands in an XLogData frame."""

PAYLOAD_OFFSET: Final = 25
"""Where the pgoutput message begins in an XLogData frame."""

EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
EPOCH_UNIX_S: Final = int(EPOCH.timestamp())

CLOCK_MIN: Final = (datetime.min.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
CLOCK_MAX: Final = (datetime.max.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
"""What `decode_clock` can show."""

_KEEPALIVE = struct.Struct(">cQqB")
_STATUS = struct.Struct(">cQQQqB")


class Keepalive(NamedTuple):
    """The server is alive, and everything up to `position` was sent to us."""

    position: int
    reply_now: bool


def decode_keepalive(frame: bytes) -> Keepalive:
    """Return the keepalive in `frame`; raises `DecodeError` when it is not one."""
    if len(frame) != _KEEPALIVE.size or frame[0] != KEEPALIVE:
        raise DecodeError(
            f"cannot decode replication frame {frame[:1]!r}: {len(frame)} bytes, "
            f"a keepalive needs {_KEEPALIVE.size}"
        )
    _, position, _, reply_now = _KEEPALIVE.unpack(frame)
    return Keepalive(position, reply_now != 0)


def encode_status(flushed: int, *, unix_time_us: int, reply_now: bool = False) -> bytes:
    """Return a status update that reports `flushed` as written, flushed and applied."""
    clock_us = unix_time_us - EPOCH_UNIX_S * 1_000_000
    return _STATUS.pack(b"r", flushed, flushed, flushed, clock_us, reply_now)


def frame_position(frame: bytes) -> int:
    """Return the start LSN of an XLogData frame, 0 when it is cut short (for error messages)."""
    return int.from_bytes(frame[1:9]) if len(frame) >= PAYLOAD_OFFSET else 0


def decode_clock(microseconds: int) -> datetime:
    """Return the aware UTC time of a PostgreSQL clock; raises `OverflowError` beyond year 9999."""
    return EPOCH + timedelta(microseconds=microseconds)
