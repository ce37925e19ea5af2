"""One HTTP address that is asked now and then: a witness, an authority, a receiver of alarms."""

import http.client
import ssl
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from bridge.model.errors import ConfigInvalid


class PeerUnreachable(Exception):
    """No answer; says the kind of error only, as an error's text may quote what was sent."""


class Answer(NamedTuple):
    """What it answered."""

    status: int
    body: bytes
    """Cut at the limit that was asked for."""


class HttpPeer:
    """Posts to one address: a connection for each request, redirects are not followed."""

    def __init__(self, url: str, *, refusal: str, timeout_s: float) -> None:
        """Raises `ConfigInvalid(refusal)` unless `url` is HTTP(S) and names no user.

        The address itself is not quoted: its path or query may be a secret.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
            raise ConfigInvalid(refusal)
        self.host: str = host
        self.path = parts.path
        self.query = f"?{parts.query}" if parts.query else ""
        self._https, self._port = parts.scheme == "https", port
        self._timeout_s = timeout_s

    def post(
        self, target: str, body: bytes, headers: Mapping[str, str], *, answer_bytes_max: int
    ) -> Answer:
        """Return the answer; raises `PeerUnreachable`."""
        connection = self._connection()
        try:
            connection.request("POST", target, body, {"User-Agent": "legacy-bridge", **headers})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(answer_bytes_max))
        except (OSError, http.client.HTTPException) as exc:
            raise PeerUnreachable(type(exc).__name__) from exc
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._https:
            return http.client.HTTPConnection(self.host, self._port, timeout=self._timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            self.host, self._port, timeout=self._timeout_s, context=context
        )
