"""Who can reach the API at all."""

import ipaddress

from bridge.model.errors import ConfigInvalid


def check_exposure(host: str, *, guarded: bool) -> None:
    """Raise `ConfigInvalid` when the API would be open to other machines without a token."""
    if guarded or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigInvalid(
            f"cannot serve the control API on {host!r} without a token: anybody who reaches it "
            "could switch routes; set control.token (BRIDGE_CONTROL__TOKEN) or control.tokens, "
            "or use 127.0.0.1"
        )
