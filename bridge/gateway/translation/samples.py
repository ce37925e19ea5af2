"""Run the samples of a route: does it take them, and do its rules make of them what they say?"""

from bridge.gateway.http.framing import MessageRefused
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.samples import Sample, SampleMessage
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.translation.rewriting import answer_from, request_for
from bridge.model.http import Headers, HttpRequest, HttpResponse


def failures(route: Route, sample: Sample, table: RoutingTable) -> list[str]:
    """Return what is not as the sample says; `table` has all routes."""
    request = sample_request(route, sample.request)
    found = []
    taken = _taken_by(request, table)
    if taken != route.route_id:
        found.append(f"its request is taken by {taken}, not by this route")
    if sample.becomes is not None:
        sent = request_for(route, sample.side, request)
        wanted = sample.becomes.target
        if wanted is not None and sent.target != wanted.encode():
            found.append(f"target is {sent.target.decode()!r}, not {wanted!r}")
        found += _differences("request", sample.becomes, sent.headers, sent.body)
    if sample.answer is not None and sample.answer_becomes is not None:
        answer = HttpResponse(
            status=200,
            reason=b"OK",
            headers=_headers(sample.answer),
            body=(sample.answer.body or "").encode(),
        )
        got = answer_from(route, sample.side, answer)
        found += _differences("answer", sample.answer_becomes, got.headers, got.body)
    return found


def sample_request(route: Route, message: SampleMessage) -> HttpRequest:
    """Return the request that a sample means."""
    methods = route.methods or (b"GET",)
    return HttpRequest(
        method=methods[0] if message.method is None else message.method.encode(),
        target=(message.target or "/").encode(),
        headers=_headers(message),
        body=(message.body or "").encode(),
    )


def _taken_by(request: HttpRequest, table: RoutingTable) -> str:
    raw = request.header(b"host")
    host = None if raw is None else raw.partition(b":")[0].lower()
    lines = [b"%b: %b" % pair for pair in request.headers]
    try:
        decision = table.decide(request.method, host, request.target, lines)
    except MessageRefused as refused:
        return f"none ({refused.detail})"
    return decision.route.route_id if isinstance(decision, Decision) else "none"


def _headers(message: SampleMessage) -> Headers:
    return tuple(
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in message.headers.items()
        if value is not None
    )


def _differences(what: str, wanted: SampleMessage, headers: Headers, body: bytes) -> list[str]:
    found = []
    for name, value in wanted.headers.items():
        values = [got.decode("latin-1") for field, got in headers if _same(field, name)]
        expected = [] if value is None else [value]
        if values != expected:
            found.append(f"{what} has {name} {values}, not {expected}")
    if wanted.body is not None and body != wanted.body.encode():
        found.append(f"{what} has body {body.decode(errors='replace')!r}, not {wanted.body!r}")
    return found


def _same(field: bytes, name: str) -> bool:
    return field.lower() == name.lower().encode("latin-1")
