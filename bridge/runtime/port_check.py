"""Whether a port is free, before anything is started on it."""

from bridge.gateway.plane.listener import refuse_taken_port
from bridge.model.errors import ConfigInvalid


def check_port(host: str, port: int, key: str) -> str:
    """Bind without SO_REUSEPORT: it fails when anybody listens there, also a worker of ours."""
    try:
        refuse_taken_port(host, port)
    except ConfigInvalid as exc:
        raise ConfigInvalid(f"{exc}; or change {key}") from exc
    return f"{host}:{port} is free"
