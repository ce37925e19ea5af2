"""One client's kept-alive connection."""

import http.client
import json
import select
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

# Above everything that a gateway waits for before it answers 504 itself.
ANSWER_TIMEOUT_S = 35.0


class Answer(NamedTuple):
    """What came back; `status` is None when the connection was lost."""

    status: int | None
    body: Any


LOST = Answer(None, None)


class ClientConnection:
    """Sends one request at a time; never repeats one by itself."""

    def __init__(self, url: str) -> None:
        """Name the service; the connection is made when it is needed."""
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"cannot call {url!r}: expected http://HOST:PORT")
        self._connection = http.client.HTTPConnection(
            parts.hostname, parts.port, timeout=ANSWER_TIMEOUT_S
        )

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Send a request and return the answer, or `LOST`."""
        self._leave_if_closed()
        sent = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        headers = {} if sent is None else {"Content-Type": "application/json"}
        try:
            self._connection.request(method, path, body=sent, headers=headers)
            response = self._connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return LOST
        try:
            return Answer(response.status, json.loads(answer) if answer else None)
        except ValueError:
            return Answer(response.status, None)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _leave_if_closed(self) -> None:
        """Connect anew if the server has closed: a request sent there would be lost, unread."""
        socket = self._connection.sock
        if socket is not None and select.select([socket], [], [], 0)[0]:
            self._connection.close()
