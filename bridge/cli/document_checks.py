"""Where a route and its OpenAPI document do not meet: told by `routes check`, as notices."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from bridge.gateway.openapi.document import ApiDocument
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.path_template import parameters
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.table import RoutingTable
from bridge.model.stage import Side

# Of one document: what is not routed at all is one thing to say, not hundreds.
_UNROUTED_MAX: Final = 20
_FILLER: Final = "q7zx"
# In the order in which a path parameter is likely to take it.
_ANY_METHOD: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")


def document_notices(routes: Sequence[Route], table: RoutingTable) -> Iterator[tuple[str, str]]:
    """Yield where, and what: requests that a document lacks, and operations that no route has."""
    for route in routes:
        if route.api is not None:
            for document in _each(route):
                for what in _undeclared(route, document):
                    yield f"{route.group}/{route.route_id}", what
    documents = {
        document.digest: document
        for route in routes
        if route.api is not None
        for document in _each(route)
    }
    for document in documents.values():
        missing = list(_unrouted(document, table))
        for what in missing[:_UNROUTED_MAX]:
            yield document.name, what
        if len(missing) > _UNROUTED_MAX:
            yield document.name, f"and {len(missing) - _UNROUTED_MAX} more like these"


def _each(route: Route) -> Iterable[ApiDocument]:
    assert route.api is not None
    return {document.digest: document for document in map(route.api.of, Side)}.values()


def _undeclared(route: Route, document: ApiDocument) -> Iterator[str]:
    if "...}" in route.path:
        return  # It takes more than any document could declare; each request is looked at.
    path = route.path
    for name in parameters(route.path):
        path = path.replace(f"{{{name}}}", _FILLER)
    methods = [method.decode() for method in route.methods]
    found = {method: document.find(method, path) for method in methods or _ANY_METHOD}
    if "path" in found.values():
        yield f"{route.path} is not in {document.name!r}: every request to it counts as drift"
    elif methods:
        for method, answer in found.items():
            if answer == "method":
                yield f"{method} {route.path} is not in {document.name!r}, other methods of it are"


def _unrouted(document: ApiDocument, table: RoutingTable) -> Iterator[str]:
    for operation in document.operations:
        held = False
        for template in document.paths_of(operation):
            path = "/".join(
                _FILLER if part.startswith("{") and part.endswith("}") else
                part.replace("{", "").replace("}", "")
                for part in template.split("/")
            )  # fmt: skip
            decision = table.decide(operation.method.encode(), None, path.encode())
            if isinstance(decision, Decision):
                api = decision.route.api
                held |= api is not None and document.digest in (
                    api.legacy.digest, api.modern.digest
                )  # fmt: skip
        if not held:
            yield (
                f"declares {operation.method} {operation.path}, which no route with this document"
                " takes"
            )
