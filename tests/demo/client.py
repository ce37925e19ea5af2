"""A client of JSON services over one kept-alive connection."""

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Got(NamedTuple):
    """Status and parsed body of an answer."""

    status: int
    body: Any


class Client:
    """Calls one service; not for several threads at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None, "the URL names its host"
        self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Got:
        """Send a request; `body` is sent as JSON, or as it is when it is bytes."""
        sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(
            method, path, body=sent, headers={"Content-Type": "application/json", **named}
        )
        response = self.connection.getresponse()
        answer = response.read()
        return Got(response.status, json.loads(answer) if answer else None)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def new_order(client_ref: str, *, lines: int = 2, customer_id: int = 10_001) -> dict[str, Any]:
    """Return the body of an order over products that every seeded shop keeps."""
    skus = ("KN-00001", "TB-00002", "ST-00003")
    return {
        "client_ref": client_ref,
        "customer_id": customer_id,
        "gift": True,
        "note": "至急",
        "lines": [
            {"sku": sku, "warehouse": "TYO", "qty": number, "unit_price": "12.50"}
            for number, sku in enumerate(skus[:lines], start=1)
        ],
    }
