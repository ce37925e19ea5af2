"""What the gateway answers about a queued request, at its status URL."""

from dataclasses import replace
from typing import Final

import orjson

from bridge.gateway.http.preference import REQUEST_FIELD
from bridge.gateway.http.problems import problem
from bridge.gateway.ingress.ports import Kept, QueueState
from bridge.gateway.routes.route import IdRules, Route
from bridge.gateway.routes.sections.ingress import IngressMode, IngressRules
from bridge.model.http import Headers, HttpResponse
from bridge.model.stage import Side

STATUS_ROUTE: Final = "async-status"
RESULT_ROUTE: Final = "async-result"

_SOON: Final = b"1"


def status_routes(prefix: str) -> tuple[Route, ...]:
    """Return the routes of the status resources, for the table of a gateway that has queues."""

    def route(route_id: str, path: str, *methods: bytes) -> Route:
        return Route(
            route_id=route_id,
            # No group of anybody's: it is never switched, so it stands at `legacy` for ever.
            group="-async-",
            methods=methods,
            path=path,
            host=None,
            writes=False,
            key=None,
            ids=IdRules(),
            upstreams={Side.LEGACY: ""},
            body_bytes_max=0,
            timeout_ms=1_000,
            ingress=IngressRules(mode=IngressMode.ALWAYS),
        )

    return (
        route(STATUS_ROUTE, f"{prefix}/{{id}}", b"GET", b"HEAD", b"DELETE"),
        route(RESULT_ROUTE, f"{prefix}/{{id}}/result", b"GET", b"HEAD"),
    )


def accepted_answer(location: str, request_id: str, *, preferred: bool) -> HttpResponse:
    """Say that the request is kept and where its status is (RFC 9110 15.3.3)."""
    applied: Headers = ((b"Preference-Applied", b"respond-async"),) if preferred else ()
    return _told(202, b"Accepted", location, request_id, QueueState.WAITING, applied)


def status_answer(kept: Kept, location: str) -> HttpResponse:
    """Say where a request stands; when it is done, where its answer is."""
    request_id = kept.queued.request_id
    if kept.state in (QueueState.WAITING, QueueState.BEGUN):
        return _told(202, b"Accepted", location, request_id, kept.state)
    if kept.state is QueueState.DONE:
        return _told(303, b"See Other", f"{location}/result", request_id, kept.state)
    return _without_result(kept)


def result_answer(kept: Kept, location: str) -> HttpResponse:
    """Give the answer itself, as the upstream gave it."""
    if kept.state is QueueState.DONE and kept.response is not None:
        named = ((REQUEST_FIELD, kept.queued.request_id.encode("ascii")),)
        return replace(kept.response, headers=kept.response.headers + named)
    if kept.state in (QueueState.WAITING, QueueState.BEGUN):
        return _told(303, b"See Other", location, kept.queued.request_id, kept.state)
    return _without_result(kept)


def unknown_request() -> HttpResponse:
    """There is no such request, or not for this caller: nobody learns which."""
    return problem(404, "no-such-request", "no request of yours has this id")


def queue_full() -> HttpResponse:
    """The route's queue is full; nothing was kept."""
    return problem(
        503,
        "queue-full",
        "the queue of this route is full; nothing was done",
        ((b"Retry-After", b"5"),),
    )


def cancelled_answer(request_id: str) -> HttpResponse:
    """The request was taken back before it was begun."""
    named = ((REQUEST_FIELD, request_id.encode("ascii")),)
    return HttpResponse(status=204, reason=b"No Content", headers=named)


def too_late() -> HttpResponse:
    """The request was begun, or has ended: it cannot be taken back."""
    return problem(409, "request-begun", "the request was begun already; it cannot be cancelled")


def _without_result(kept: Kept) -> HttpResponse:
    named = ((REQUEST_FIELD, kept.queued.request_id.encode("ascii")),)
    if kept.state is QueueState.IN_DOUBT:
        return problem(
            504,
            "write-in-doubt",
            "the request was sent and its answer was lost; it is held until it is resolved",
            named,
        )
    if kept.state is QueueState.CANCELLED:
        return problem(410, "request-cancelled", "the request was cancelled by its client", named)
    return problem(410, "request-expired", "the answer was kept long enough and is gone", named)


def _told(
    status: int,
    reason: bytes,
    location: str,
    request_id: str,
    state: QueueState,
    more: Headers = (),
) -> HttpResponse:
    headers: Headers = (
        (b"Content-Type", b"application/json"),
        (b"Location", location.encode("ascii")),
        (b"Cache-Control", b"no-store"),
        (REQUEST_FIELD, request_id.encode("ascii")),
        *more,
    )
    if status == 202:
        headers += ((b"Retry-After", _SOON),)
    body = orjson.dumps({"request": request_id, "state": state.value})
    return HttpResponse(status=status, reason=reason, headers=headers, body=body)
