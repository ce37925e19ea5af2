"""How much of a socket is read at once."""

import asyncio
from typing import Final

# asyncio asks for 256 kB. Above 128 kB the C library may map memory anew for every read and give it
# back after it, which was measured to cost 14 us each: half a request.
_READ_BYTES: Final = 65_536


def read_in_pieces(transport: asyncio.BaseTransport) -> None:
    """Make a transport read pieces of a moderate size, if it reads by itself."""
    if hasattr(transport, "max_size"):
        transport.max_size = _READ_BYTES
