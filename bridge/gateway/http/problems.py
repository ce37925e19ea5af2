"""The gateway's own answers: problem+json (RFC 9457) with a marker, never taken for a side's."""

from http import HTTPStatus
from typing import Final

import orjson

from bridge.model.http import Headers, HttpResponse

MARKER: Final = b"legacy-bridge-error"
"""Header that only the gateway's own answers carry; its value is the problem's code."""

FALLBACK: Final = b"Legacy-Bridge-Fallback"
"""Field of an answer that legacy gave in modern's place: `legacy`, or `legacy;may-lag`."""

CODES: Final = {
    400: "bad-request",
    405: "method-refused",
    413: "body-too-large",
    414: "target-too-long",
    417: "expectation-refused",
    431: "head-too-large",
    501: "coding-unknown",
    505: "version-refused",
}
"""Code of a message that is refused for its form, by status."""


def problem(status: int, code: str, detail: str, headers: Headers = ()) -> HttpResponse:
    """Return an answer of our own; `code` is a short name that programs may switch on."""
    title = HTTPStatus(status).phrase
    body = orjson.dumps(
        {
            "type": f"urn:legacy-bridge:problem:{code}",
            "title": title,
            "status": status,
            "detail": detail,
        }
    )
    return HttpResponse(
        status=status,
        reason=title.encode("ascii"),
        headers=(
            (b"Content-Type", b"application/problem+json"),
            (MARKER, code.encode("ascii")),
            *headers,
        ),
        body=body,
    )
