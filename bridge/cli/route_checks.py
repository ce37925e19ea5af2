"""What `routes check` looks for: faults, which nobody should apply, and what may not be meant."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bridge.cli.document_checks import document_notices
from bridge.gateway.routes.cohort_unit import undealt
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.loader import load_group, load_routes, route_files
from bridge.gateway.routes.path_template import parameters
from bridge.gateway.routes.route import KeyPlace, Route
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.translation.samples import failures
from bridge.model.errors import ConfigInvalid


class Finding(NamedTuple):
    """One thing that was found."""

    kind: str
    """`fault`: it must not be applied. `notice`: it works, and may not be meant."""
    where: str
    what: str


def check_folder(folder: Path, upstreams: Collection[str]) -> list[Finding]:
    """Return what is to be said about the route files of `folder`."""
    faults = []
    for path in route_files(folder):
        try:
            load_group(path, upstreams)
        except ConfigInvalid as exc:
            faults.append(Finding("fault", path.name, str(exc)))
    if faults:
        return faults
    try:
        routes = load_routes(folder, upstreams)
    except ConfigInvalid as exc:
        return [Finding("fault", folder.name, str(exc))]
    table = RoutingTable.build(routes, (), 0)
    return [
        *_samples(routes, table),
        *(Finding("fault", group, why) for group, why in sorted(undealt(routes).items())),
        *_never_taken(routes, table),
        *_unused(routes, upstreams),
        *_keys(routes),
        *(Finding("notice", where, what) for where, what in document_notices(routes, table)),
    ]


def _samples(routes: Iterable[Route], table: RoutingTable) -> Iterator[Finding]:
    for route in routes:
        for sample in route.samples:
            for failure in failures(route, sample, table):
                what = f"sample {sample.name!r}: {failure}"
                yield Finding("fault", f"{route.group}/{route.route_id}", what)


def _never_taken(routes: Sequence[Route], table: RoutingTable) -> Iterator[Finding]:
    """Send each route a request that is made for it."""
    for route in routes:
        host = None if route.host is None else route.host.lower().encode()
        lines = _lines_for(route)
        for method in route.methods or (b"GET",):
            decision = table.decide(method, host, _path_for(route.path), lines)
            found = decision.route if isinstance(decision, Decision) else None
            if found is not route:
                by = "none" if found is None else f"route {found.route_id!r}"
                what = f"{method.decode()} {route.path} is taken by {by}: it may never be used"
                yield Finding("notice", f"{route.group}/{route.route_id}", what)


def _path_for(template: str) -> bytes:
    path = template
    for number, name in enumerate(parameters(template)):
        for form in (f"{{{name}}}", f"{{{name}...}}"):
            # A value that no literal segment of a route has.
            path = path.replace(form, f"q7zx{number}")
    return path.encode()


def _lines_for(route: Route) -> list[bytes]:
    lines = []
    for name, condition in route.header_test.conditions if route.header_test else ():
        if condition.present is False:
            continue
        values = condition.one_of or (condition.equals or (condition.like or "x"),)
        lines.append(b"%b: %b" % (name, values[0].replace("*", "x").encode("latin-1")))
    return lines


def _unused(routes: Iterable[Route], upstreams: Collection[str]) -> Iterator[Finding]:
    used = {name for route in routes for name in route.upstreams.values()}
    for name in sorted(set(upstreams) - used):
        yield Finding("notice", f"upstream {name}", "no route names it")


def _keys(routes: Iterable[Route]) -> Iterator[Finding]:
    for route in routes:
        where = f"{route.group}/{route.route_id}"
        key = route.key
        if len(route.upstreams) > 1 and not route.writes and key is None and not route.ids.path:
            yield Finding(
                "notice",
                where,
                "has no key: it follows its group as a whole, and its reader may not see what was"
                " just written to one key",
            )
        if key is not None and key.place is KeyPlace.CLAIM and key.token_keys is None:
            yield Finding(
                "notice",
                where,
                "takes its key from a claim that nobody verifies: a client can choose whose lane"
                " its writes wait in; name the issuer's keys with 'verified_by'",
            )
