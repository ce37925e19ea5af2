"""Errors of the API as problem+json (RFC 9457)."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from bridge.gateway.dual.ports import IdTaken, WriteStateForbidden
from bridge.model.errors import (
    BridgeError,
    ConfigInvalid,
    LaneBusy,
    LimitExceeded,
    NotKnown,
    Remedy,
    StaleEpoch,
    StepForbidden,
    Unavailable,
)

# The first class that fits decides: a subclass stands before its base.
_STATUS: tuple[tuple[type[BridgeError], int], ...] = (
    (NotKnown, 404),
    (StaleEpoch, 409),
    (WriteStateForbidden, 409),
    (IdTaken, 409),
    (LaneBusy, 409),
    (StepForbidden, 422),
    (LimitExceeded, 422),
    (ConfigInvalid, 400),
    (Unavailable, 503),
)

# A body may have thousands of wrong items; the first few show what is wrong with them.
_FAULTS_TOLD_MAX = 5


def install_problem_handler(app: FastAPI) -> None:
    """Answer every error with what could not be done and who should act, never with the input."""

    async def bridge_error(_request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, BridgeError)
        status = next((code for kind, code in _STATUS if isinstance(exc, kind)), 500)
        return _problem(status, type(exc).__name__, str(exc), exc.remedy)

    async def http_error(_request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, HTTPException)
        answer = _problem(exc.status_code, "RequestRefused", str(exc.detail), Remedy.OPERATOR)
        answer.headers.update(exc.headers or {})
        return answer

    async def wrong_form(_request: Request, exc: Exception) -> JSONResponse:
        assert isinstance(exc, RequestValidationError)
        return _problem(422, "RequestRefused", _faults(exc), Remedy.OPERATOR)

    app.add_exception_handler(BridgeError, bridge_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, wrong_form)


def _problem(status: int, title: str, detail: str, remedy: Remedy) -> JSONResponse:
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "remedy": remedy.value,
    }
    return JSONResponse(body, status_code=status, media_type="application/problem+json")


def _faults(exc: RequestValidationError) -> str:
    """Name places and rules, not what stood there: it may be somebody's secret."""
    found = exc.errors()
    told = [
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg'].lower()}"
        for error in found[:_FAULTS_TOLD_MAX]
    ]
    if len(found) > len(told):
        told.append(f"{len(found) - len(told)} more")
    return f"cannot take the request: {'; '.join(told)}"
