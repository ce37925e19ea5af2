"""Errors of the API as problem+json (RFC 9457)."""

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from bridge.model.errors import (
    BridgeError,
    ConfigInvalid,
    LaneBusy,
    LimitExceeded,
    StaleEpoch,
    StepForbidden,
    Unavailable,
)

_STATUS: tuple[tuple[type[BridgeError], int], ...] = (
    (StaleEpoch, 409),
    (LaneBusy, 409),
    (StepForbidden, 422),
    (LimitExceeded, 422),
    (ConfigInvalid, 400),
    (Unavailable, 503),
)


def install_problem_handler(app: FastAPI) -> None:
    """Answer every `BridgeError` with its message, its class as title and its remedy."""

    async def answer(_request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, BridgeError)
        status = next((code for kind, code in _STATUS if isinstance(exc, kind)), 500)
        body = {
            "type": "about:blank",
            "title": type(exc).__name__,
            "status": status,
            "detail": str(exc),
            "remedy": exc.remedy.value,
        }
        return JSONResponse(body, status_code=status, media_type="application/problem+json")

    app.add_exception_handler(BridgeError, answer)
