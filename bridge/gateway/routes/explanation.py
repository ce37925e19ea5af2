"""Why a request goes by one route and not by another: for people, never on the data plane's way."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bridge.gateway.http.framing import MessageRefused
from bridge.gateway.http.target import segments
from bridge.gateway.routes.route import Route


class Miss(NamedTuple):
    """A route that does not take a request, and why."""

    route: Route
    reason: str
    nearness: int
    """How much of the request it would take: of several misses people mean the nearest."""


def misses(
    routes: Iterable[Route],
    method: bytes,
    host: bytes | None,
    target: bytes,
    lines: Sequence[bytes],
) -> list[Miss]:
    """Return why each of `routes` does not take the request, the nearest first.

    A route that would take it, if another one did not come before it, is told so.
    """
    try:
        parts = segments(target.partition(b"?")[0])
    except MessageRefused as refused:
        return [Miss(route, f"no route takes this path: {refused.detail}", 0) for route in routes]
    found = [_miss(route, method, host, parts, lines) for route in routes]
    return sorted(found, key=lambda miss: -miss.nearness)


def _miss(
    route: Route, method: bytes, host: bytes | None, parts: list[str], lines: Sequence[bytes]
) -> Miss:
    same = _segments_alike(route.path.split("/")[1:], parts)
    if same is not None:
        return Miss(route, same[0], same[1])
    if route.host is not None and (host is None or route.host.lower().encode() != host):
        return Miss(route, f"its host is {route.host!r}", 100)
    if not _takes(route, method):
        methods = ", ".join(each.decode() for each in route.methods)
        return Miss(route, f"it takes {methods}", 200)
    if route.header_test is not None and not route.header_test.fits(lines):
        names = ", ".join(name.decode() for name, _ in route.header_test.conditions)
        return Miss(route, f"the header fields {names} are not what it asks for", 300)
    return Miss(route, "another route is more exact, and comes first", 400)


def _takes(route: Route, method: bytes) -> bool:
    return (
        not route.methods
        or method in route.methods
        or (method == b"HEAD" and b"GET" in route.methods)
    )


def _segments_alike(template: list[str], parts: list[str]) -> tuple[str, int] | None:
    """Return why a path is not of a template, and how many segments are; None when it is."""
    for at, wanted in enumerate(template):
        if wanted.endswith("...}"):
            return None
        if at >= len(parts):
            return f"its path goes on with {wanted!r}", at
        if wanted.startswith("{"):
            if not parts[at]:
                return f"the path has nothing for {wanted!r}", at
        elif wanted != parts[at]:
            return f"its path has {wanted!r} where the request has {parts[at]!r}", at
    if len(parts) > len(template):
        beyond = parts[len(template)]
        return f"its path ends where the request goes on with {beyond!r}", len(template)
    return None
