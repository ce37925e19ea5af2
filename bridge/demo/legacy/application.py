"""The WSGI application: paths to handlers, JSON in and out, errors to statuses."""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import psycopg

from bridge.demo.legacy import catalog, customers, lines, orders, payments
from bridge.demo.legacy.database import Cursor, Database, DatabaseDown, OutcomeLost
from bridge.demo.legacy.requests import Refused, Reply, Request, is_text
from bridge.demo.legacy.server import Environ, StartResponse

Handler: TypeAlias = Callable[[Cursor, Request], Reply]

REASONS: Final = {
    200: "OK",
    201: "Created",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    422: "Unprocessable Content",
    500: "Internal Server Error",
    503: "Service Unavailable",
}

ROUTES: Final[tuple[tuple[str, str, Handler], ...]] = (
    ("GET", "/health", catalog.health),
    ("GET", "/customers/{customer_id}", customers.show),
    ("PUT", "/customers/{customer_id}", customers.change),
    ("GET", "/products", catalog.products),
    ("GET", "/products/{sku}", catalog.product),
    ("GET", "/stock/{warehouse}/{sku}", catalog.stock),
    ("GET", "/orders", orders.of_customer),
    ("POST", "/orders", orders.create),
    ("GET", "/orders/{order_id}", orders.show),
    ("PUT", "/orders/{order_id}/status", orders.change_status),
    ("PUT", "/orders/{order_id}/lines/{line_no}", lines.change),
    ("GET", "/orders/{order_id}/payments", payments.of_order),
    ("POST", "/orders/{order_id}/payments", payments.create),
)


class ShopApplication:
    """The shop, as a WSGI callable. Each request is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._routes = [(method, compiled(path), handler) for method, path, handler in ROUTES]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        try:
            reply = self._answer(environ)
        except Refused as exc:
            reply = Reply(status=exc.status, body={"error": str(exc)})
        except OutcomeLost as exc:
            reply = Reply(status=500, body={"error": str(exc)})
        except (DatabaseDown, psycopg.Error):
            # Rolled back, or never begun: the caller may safely repeat it.
            reply = Reply(status=503, body={"error": "the database is not available"})
        start_response(
            f"{reply.status} {REASONS[reply.status]}", [("Content-Type", "application/json")]
        )
        return [json.dumps(reply.body, ensure_ascii=False, default=plain).encode()]

    def _answer(self, environ: Environ) -> Reply:
        # WSGI hands the path's bytes over as Latin-1.
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        handler, params = self._match(environ["REQUEST_METHOD"], path)
        query = dict(parse_qsl(environ["QUERY_STRING"]))
        if not all(is_text(value) for value in (path, *query.values())):
            raise Refused(400, "the request's target holds a character that no name has")
        request = Request(
            params=params,
            query=query,
            body=parsed(environ["wsgi.input"].read()),
        )
        return self._database.run(lambda cursor: handler(cursor, request))

    def _match(self, method: str, path: str) -> tuple[Handler, Mapping[str, str]]:
        if method == "HEAD":
            method = "GET"
        known = False
        for wanted, pattern, handler in self._routes:
            found = pattern.fullmatch(path)
            if found and wanted == method:
                return handler, found.groupdict()
            known = known or found is not None
        raise Refused(405 if known else 404, f"cannot {method} {path}")


def compiled(path: str) -> re.Pattern[str]:
    """Turn a path with `{name}` segments into a pattern."""
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path))


def parsed(body: bytes) -> Mapping[str, Any]:
    """Parse a JSON object; no body is an empty one."""
    if not body:
        return {}
    try:
        value = json.loads(body)
    except ValueError as exc:
        raise Refused(400, "the body is not JSON") from exc
    if not isinstance(value, dict):
        raise Refused(400, "the body is not a JSON object")
    return value


def plain(value: object) -> str:
    """Write amounts and times as text: amounts keep their places, times have no zone."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"cannot write a {type(value).__name__} as JSON")
