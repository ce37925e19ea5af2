"""What both ends of the gateway do with their transports."""

import asyncio
from typing import Final

# asyncio asks for 256 kB. Above 128 kB the C library may map memory anew for every read and give it
# back after it, which was measured to cost 14 us each: half a request.
_READ_BYTES: Final = 65_536


def read_in_pieces(transport: asyncio.BaseTransport) -> None:
    """Make a transport read pieces of a moderate size, if it reads by itself."""
    if hasattr(transport, "max_size"):
        transport.max_size = _READ_BYTES


def half_close(transport: asyncio.Transport) -> None:
    """Say that no more is sent. The other end may be gone already, which we are yet to hear."""
    if transport.is_closing():
        return
    try:
        transport.write_eof()
    except OSError:
        transport.abort()
