"""What `routes explain` says about one request."""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.gateway.dual.ports import IdMap
from bridge.gateway.dual.read_sides import Chosen, Lanes, ReadSides, Reason
from bridge.gateway.http.framing import MessageRefused
from bridge.gateway.http.target import parse_authority
from bridge.gateway.routes.cohort import BUCKETS_COUNT, bucket_of, in_cohort
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.explanation import misses
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.routes.table import Refusal, RoutingTable
from bridge.gateway.translation.ids import key_of, lane_of
from bridge.gateway.translation.rewriting import request_for
from bridge.model.errors import ConfigInvalid
from bridge.model.http import Headers, HttpRequest
from bridge.model.stage import GroupState, Side

_MISSES_SHOWN = 5


def explain_request(
    routes: Sequence[Route],
    states: Iterable[GroupState],
    *,
    method: str,
    url: str,
    headers: Iterable[str],
    body: bytes,
    ids: IdMap,
    journal: Lanes,
) -> dict[str, Any]:
    """Return what the gateway would do with a request, as JSON values.

    Raises:
        ConfigInvalid: it is no request.
    """
    request, host = _request(method, url, headers, body)
    lines = [b"%b: %b" % pair for pair in request.headers]
    table = RoutingTable.build(routes, list(states), 0)
    decision = table.decide(request.method, host, request.target, lines)
    taken = decision.route if isinstance(decision, Decision) else None
    others = [
        {"route": miss.route.route_id, "because": miss.reason}
        for miss in misses(routes, request.method, host, request.target, lines)
        if miss.route is not taken
    ][:_MISSES_SHOWN]
    facts: dict[str, Any] = {"request": f"{method} {request.target.decode()}"}
    if isinstance(decision, Refusal):
        refused = {"status": decision.status, "code": decision.code, "because": decision.detail}
        return facts | {"refused": refused, "not": others}
    chosen = None
    if decision.choice is not None and decision.other is not None:
        chosen = ReadSides(journal=journal, ids=ids).chosen(decision, request)
        decision = chosen.decision
    return facts | _decided(decision, request, ids, chosen) | {"not": others}


def shown_explanation(facts: dict[str, Any]) -> str:
    """Return the explanation as lines for a person."""
    lines: list[str] = []
    for name, value in facts.items():
        if name == "not":
            lines += [f"not {each['route']}: {each['because']}" for each in value]
        elif isinstance(value, dict):
            lines += [f"{name}.{key}: {_words(inner)}" for key, inner in value.items()]
        else:
            lines.append(f"{name}: {_words(value)}")
    return "\n".join(lines)


def _words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _request(
    method: str, url: str, headers: Iterable[str], body: bytes
) -> tuple[HttpRequest, bytes | None]:
    fields: list[tuple[bytes, bytes]] = []
    for text in headers:
        name, colon, value = text.partition(":")
        if not colon or not name.strip():
            raise ConfigInvalid(f"cannot read header {text!r}: expected 'Name: value'")
        fields.append((name.strip().encode("latin-1"), value.strip().encode("latin-1")))
    target = url
    if "://" in url:
        parts = urlsplit(url)
        fields = [pair for pair in fields if pair[0].lower() != b"host"]
        fields.insert(0, (b"Host", parts.netloc.encode("latin-1")))
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not target.startswith("/"):
        raise ConfigInvalid(f"cannot read {url!r}: expected a path such as /orders/7, or a URL")
    request = HttpRequest(
        method=method.encode("ascii", "replace"),
        target=target.encode("utf-8"),
        headers=tuple(fields),
        body=body,
    )
    raw = request.header(b"host")
    try:
        return request, None if raw is None else parse_authority(raw).name
    except MessageRefused as exc:
        raise ConfigInvalid(f"cannot use host {raw!r}: {exc.detail}") from exc


_WHY: Final = {
    Reason.IN_COHORT: "its key is in the cohort",
    Reason.OUTSIDE: "its key is not in the cohort",
    Reason.PINNED: "a write of its key is still on its way to the other side",
    Reason.NO_KEY: "the request has no key, and follows at 100 %",
    Reason.ALL_KEYS: "it is about all keys, and follows at 100 %",
    Reason.JOURNAL_AWAY: "the journal cannot be read",
}


def _decided(
    decision: Decision, request: HttpRequest, ids: IdMap, chosen: Chosen | None
) -> dict[str, Any]:
    route = decision.route
    why = "it is the authority" if chosen is None else _WHY[chosen.reason]
    return {
        "route": route.route_id,
        "because": _because(route, decision),
        "group": route.group,
        "stage": decision.stage.value,
        "share_percent": None if chosen is None else chosen.share_percent,
        "epoch": decision.epoch,
        "answered_by": {
            "side": decision.authority.value,
            "upstream": decision.upstream,
            "why": why,
        },
        "key": _key(decision, request, ids, chosen),
        "write": {
            "changes_data": route.writes,
            "journalled": decision.journalled,
            "replayed_to": decision.authority.other.value if decision.journalled else None,
            "level": route.dual.level.name if decision.journalled else None,
        },
        "mirrored": _mirrored(decision),
        "rules": _rules(decision, request),
        "limits": {
            "body_bytes_max": route.body_bytes_max,
            "fits": len(request.body) <= route.body_bytes_max,
            "timeout_ms": route.timeout_ms,
        },
    }


def _because(route: Route, decision: Decision) -> str:
    words = [f"its path is {route.path}"]
    if decision.params:
        words.append(
            " and ".join(f"{name} is {value!r}" for name, value in decision.params.items())
        )
    methods = ", ".join(method.decode() for method in route.methods)
    words.append(f"it takes {methods or 'every method'}")
    if route.host is not None:
        words.append(f"its host is {route.host}")
    if route.header_test is not None:
        names = ", ".join(name.decode() for name, _ in route.header_test.conditions)
        words.append(f"the header fields {names} are what it asks for")
    return "; ".join(words)


def _key(
    decision: Decision, request: HttpRequest, ids: IdMap, chosen: Chosen | None
) -> dict[str, Any]:
    route = decision.route
    rule = route.key
    if rule is None and chosen is not None and chosen.lane is not None:
        # A read whose key is one of the ids in its path.
        return {"place": "ids.path", **_bucket(route, chosen.lane, chosen)}
    if rule is None:
        return {"place": None, "lane": lane_of("route", route.route_id) if route.writes else None}
    facts: dict[str, Any] = {"place": f"{rule.place.value} {rule.name}", "verified": None}
    if rule.place is KeyPlace.CLAIM:
        facts["verified"] = rule.token_keys is not None
    if rule.place is KeyPlace.CREATED:
        return facts | {"value": None, "lane": "of the id in the answer"}
    value = key_of(rule, decision, request)
    if value is None:
        return facts | {"value": None, "lane": None, "missing": "a journalled write is refused"}
    pair = None if rule.entity is None else ids.pair(route.group, rule.entity, value)
    lane = lane_of(rule.entity, value) if pair is None else pair.lane
    return facts | {"value": value, **_bucket(route, lane, chosen)}


def _bucket(route: Route, lane: str, chosen: Chosen | None) -> dict[str, Any]:
    # By the lane, so that an entity is in one cohort by either side's id.
    bucket = bucket_of(route.cohort_salt, lane)
    facts = {
        "lane": lane,
        "cohort_bucket": bucket,
        "cohort_from_percent": (bucket + 1) * 100 / BUCKETS_COUNT,
    }
    if chosen is not None:
        facts["in_cohort"] = in_cohort(bucket, chosen.share_percent)
    return facts


def _mirrored(decision: Decision) -> dict[str, Any]:
    shadow = decision.route.shadow
    percent = shadow.percent if decision.stage.value == "shadow" else shadow.later_percent
    return {"copied": decision.tapped, "percent": percent if decision.tapped else 0}


def _rules(decision: Decision, request: HttpRequest) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    route = decision.route
    for side in (decision.authority, decision.authority.other):
        if side not in route.upstreams:
            continue
        facts[side.value] = _changed(route, side, request)
    edits = decision.edits
    facts["read_whole"] = decision.journalled or (edits is not None and edits.needs_bodies)
    facts["ids_translated"] = bool(route.ids) and decision.epoch > 0
    return facts


def _changed(route: Route, side: Side, request: HttpRequest) -> str:
    """Say in words what rules change, without values."""
    rewriting = route.rewriting[side]
    if rewriting is None:
        return "nothing is changed"
    sent = request_for(route, side, request)
    words = []
    if sent.target != request.target:
        words.append(f"target becomes {sent.target.decode('latin-1')}")
    before, after = _names(request.headers), _names(sent.headers)
    if gone := sorted(before - after):
        words.append(f"without {', '.join(gone)}")
    if new := sorted(after - before):
        words.append(f"with {', '.join(new)}")
    if sent.body != request.body:
        words.append(f"body changed, {len(request.body)} → {len(sent.body)} bytes")
    if rewriting.answer is not None or rewriting.answer_bodies:
        words.append("its answer is changed too")
    return "; ".join(words) or "this request is not changed"


def _names(headers: Headers) -> set[str]:
    return {name.decode("latin-1").lower() for name, _ in headers}
