"""Free loopback ports that stay free for a server that is down for a moment."""

import random
import socket
from collections import deque

# Below Linux's range for outgoing connections (32768-60999): a server that is restarted on its
# port would otherwise sometimes find it taken by somebody's client connection.
_LOWEST = 20_000
_HIGHEST = 31_999
_TRIES_MAX = 200

# Who asks for two ports before anything listens on the first must not get the same one twice: one
# in 12,000 pairs of draws did, and a deployment came up with one port for two services.
_REMEMBERED = 1_000
_handed_out: deque[int] = deque(maxlen=_REMEMBERED)


def free_port() -> int:
    """Return a loopback TCP port that nobody listens on now, none of the last 1,000 returned.

    Another process may still take it before the caller does: whoever starts a server on it tries
    again with another port.

    Raises:
        OSError: none was found in 200 tries.
    """
    for _ in range(_TRIES_MAX):
        port = random.SystemRandom().randint(_LOWEST, _HIGHEST)
        if port in _handed_out:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As servers do: a port whose old connections linger in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _handed_out.append(port)
            return port
    raise OSError(f"no free port found in {_TRIES_MAX} tries between {_LOWEST} and {_HIGHEST}")
