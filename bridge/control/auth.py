"""Who may use the API: the holder of the configured token."""

import hmac
import ipaddress
from collections.abc import Callable

from fastapi import Header, HTTPException

from bridge.model.errors import ConfigInvalid


def check_exposure(host: str, token: str | None) -> None:
    """Raise `ConfigInvalid` when the API would be open to other machines without a token."""
    if token is not None or host == "localhost":
        return
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ConfigInvalid(
            f"cannot serve the control API on {host!r} without a token: anybody who reaches it "
            "could switch routes; set control.token (BRIDGE_CONTROL__TOKEN) or use 127.0.0.1"
        )


def token_check(token: str | None) -> Callable[[str | None], None]:
    """Return a dependency that refuses requests without the bearer `token`."""

    def check(authorization: str | None = Header(default=None)) -> None:
        if token is None:
            return
        given = (authorization or "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise HTTPException(
                401,
                "cannot answer: bearer token is missing or wrong",
                {"WWW-Authenticate": "Bearer"},
            )

    return check
