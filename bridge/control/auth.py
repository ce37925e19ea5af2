"""Who may use the API: the holder of the configured token."""

import hmac
from collections.abc import Callable

from fastapi import Header, HTTPException


def token_check(token: str | None) -> Callable[[str | None], None]:
    """Return a dependency that refuses requests without the bearer `token`."""

    def check(authorization: str | None = Header(default=None)) -> None:
        if token is None:
            return
        scheme, _, given = (authorization or "").partition(" ")
        right = hmac.compare_digest(given.strip().encode(), token.encode())
        if scheme.lower() != "bearer" or not right:
            raise HTTPException(
                401,
                "cannot answer: bearer token is missing or wrong",
                {"WWW-Authenticate": "Bearer"},
            )

    return check
