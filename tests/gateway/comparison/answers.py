"""Answers and rules for comparisons."""

from typing import Any

import orjson

from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.model.http import HttpResponse

JSON = b"application/json"


def answer(
    body: object,
    *,
    status: int = 200,
    media_type: bytes | None = JSON,
    headers: tuple[tuple[bytes, bytes], ...] = (),
) -> HttpResponse:
    """Return an answer; `body` is bytes, or a value to be written as JSON."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    typed = () if media_type is None else ((b"Content-Type", media_type),)
    return HttpResponse(status=status, reason=b"OK", headers=(*typed, *headers), body=raw)


def rule(kind: str, *at: str, **more: Any) -> dict[str, Any]:
    """Return a rule as a route file has it."""
    said = {
        "name": kind,
        "kind": kind,
        "reason": "the two systems count differently",
        "reviewed_by": "ana",
        "reviewed_on": "2026-11-02",
        **more,
    }
    return {**said, "at": list(at)} if at else said


def rules(*given: dict[str, Any], **more: Any) -> ComparisonRules:
    """Return a route's rules."""
    return ComparisonRules.model_validate({"rules": list(given), **more})
