"""Leave a shared port without losing a connection.

The kernel gives each connection attempt to one of the listeners that share a port, for good: what
waits in the queue of one that closes is reset, and so is a handshake that is half done. So a
listener that leaves first takes no more attempts, by a filter that drops their first packet: its
sender repeats it after a second, and by then another listener has the port. What was begun before
is accepted meanwhile, and only then is the listener closed.

(Linux can hand half-done connections over by itself since 5.14, `net.ipv4.tcp_migrate_req`; it is
off by default and not ours to set. Source: Linux, `Documentation/networking/filter.rst`.)
"""

import ctypes
import socket
import struct
from typing import Final

# <asm-generic/socket.h>; Python has no name for it.
_SO_ATTACH_FILTER: Final = 26
_PACKET_BYTES_MAX: Final = 0x40000

# Classic BPF over the TCP header: byte 13 are the flags; a SYN without ACK is a new attempt.
_PROGRAM: Final = (
    (0x30, 0, 0, 13),  # ldb [13]
    (0x54, 0, 0, 0x12),  # and #SYN|ACK
    (0x15, 0, 1, 0x02),  # jeq #SYN, next, skip
    (0x06, 0, 0, 0),  # ret #0: drop
    (0x06, 0, 0, _PACKET_BYTES_MAX),  # ret #-1: take
)


def take_no_more(listener: socket.socket) -> bool:
    """Let a listener take no new attempts; return whether the kernel agreed.

    What is on its way already is still accepted.
    """
    code = b"".join(struct.pack("HBBI", *step) for step in _PROGRAM)
    kept = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: a count and a pointer, padded by the machine's own rules.
    program = struct.pack("HP", len(_PROGRAM), ctypes.addressof(kept))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError:
        return False
    return True


def is_shared(listener: socket.socket) -> bool:
    """Whether other listeners may have the same port."""
    return bool(listener.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT))
