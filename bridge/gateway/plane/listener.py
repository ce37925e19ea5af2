"""Open the port that clients connect to."""

import errno
import socket

from bridge.model.errors import ConfigInvalid

# Connections that the kernel holds while a worker is busy; the usual net.core.somaxconn is 4096.
_BACKLOG = 1024

_ADVICE = {
    errno.EADDRINUSE: "it is in use by another program; stop that one or set another port",
    errno.EACCES: "this account may not open ports below 1024; set a higher port",
    errno.EADDRNOTAVAIL: "this machine has no such address; set one of its own",
}


def open_listener(host: str, port: int, *, shared: bool) -> socket.socket:
    """Return a listening socket; `shared` lets every worker of one gateway open the same port.

    A shared port can also be opened by a second gateway of the same account, unnoticed by both:
    `up` therefore looks with `refuse_taken_port` before it starts any worker.

    Raises:
        ConfigInvalid: the address is taken, forbidden or not of this machine.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as exc:
        raise ConfigInvalid(f"cannot listen on {host}:{port}: no such host name") from exc
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as exc:
        listener.close()
        why = _ADVICE.get(exc.errno or 0, (exc.strerror or str(exc)).lower())
        raise ConfigInvalid(f"cannot listen on {host}:{port}: {why}") from exc
    return listener


def refuse_taken_port(host: str, port: int) -> None:
    """Check that nobody listens yet, not even somebody who would share.

    Raises:
        ConfigInvalid: somebody does.
    """
    open_listener(host, port, shared=False).close()
