"""Send checkpoints to a witness over HTTP (C2SP `tlog-witness`)."""

import http.client
import ssl
from typing import Final
from urllib.parse import urlsplit

from bridge.eventlog.witness.ports import Told
from bridge.model.errors import ConfigInvalid, UpstreamUnavailable

# A witness forces one small file to disk; one that takes longer is asked again later.
TIMEOUT_S_DEFAULT: Final = 5.0

# The answer is a few signature lines, or a size.
_ANSWER_BYTES_MAX: Final = 64 * 1024


class HttpWitnessLink:
    """Implements `WitnessLink`: one connection for each request, redirects are not followed."""

    def __init__(self, name: str, url: str, *, timeout_s: float = TIMEOUT_S_DEFAULT) -> None:
        """Raises `ConfigInvalid` when `url`, the submission prefix, is no HTTP address."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
            raise ConfigInvalid(
                f"cannot use the address of witness {name!r}: expected the form "
                "https://HOST[:PORT][/PREFIX] without a user"
            )
        self._name = name
        self._https, self._host, self._port = parts.scheme == "https", host, port
        self._path = parts.path.rstrip("/") + "/add-checkpoint"
        self._timeout_s = timeout_s

    def add_checkpoint(self, submission: bytes) -> Told:
        """See `WitnessLink.add_checkpoint`."""
        headers = {"Content-Type": "text/plain; charset=utf-8", "User-Agent": "legacy-bridge"}
        connection = self._connection()
        try:
            connection.request("POST", self._path, submission, headers)
            answer = connection.getresponse()
            return Told(answer.status, answer.read(_ANSWER_BYTES_MAX))
        except (OSError, http.client.HTTPException) as exc:
            raise UpstreamUnavailable(
                f"cannot ask witness {self._name!r} at {self._host}: {type(exc).__name__}"
            ) from exc
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if not self._https:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout_s, context=context
        )
