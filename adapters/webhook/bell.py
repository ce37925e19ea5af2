"""Post alarms as JSON to a URL, in the background, for a bounded time."""

import http.client
import json
import queue
import ssl
import threading
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer

# An endpoint that takes longer is not listening.
_TIMEOUT_S: Final = 5.0

# Pauses between tries of one alarm: half a minute covers a restart of the receiver.
_PAUSES_S: Final = (1.0, 5.0, 25.0)

# Alarms are changes of a level. More of them than this, and the receiver has been away for long.
_WAITING_MAX: Final = 32

_CLOSE_S_MAX: Final = 2.0


class WebhookBell:
    """Implements `AlarmBell`: one POST an alarm, repeated until the receiver answers with 2xx.

    An alarm may arrive twice (its `id` tells), and none arrives for ever: after four tries it is
    given up, and noted. Neither URL nor token appears in a note; redirects are not followed.
    """

    def __init__(
        self,
        url: str,
        *,
        observer: Observer,
        token: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        pauses_s: tuple[float, ...] = _PAUSES_S,
    ) -> None:
        """Raises `ConfigInvalid` when `url` is no HTTP address."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if host is None or parts.scheme not in ("http", "https") or parts.username is not None:
            # Not quoted: its path or query may be the secret.
            raise ConfigInvalid(
                "cannot use the webhook: expected a URL of the form https://HOST[:PORT]/PATH "
                "without a user"
            )
        self._scheme, self._host, self._port = parts.scheme, host, port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._token = token
        self._observer = observer
        self._timeout_s = timeout_s
        self._pauses_s = pauses_s
        self._waiting: queue.Queue[bytes] = queue.Queue(_WAITING_MAX)
        self._ending = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._thread: threading.Thread | None = None

    def ring(self, alarm: Mapping[str, Any]) -> None:
        """Queue `alarm` and return at once."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)
            self._thread.start()
        self._idle.clear()
        try:
            self._waiting.put_nowait(json.dumps(alarm, ensure_ascii=False).encode())
        except queue.Full:
            self._observer.note("webhook_failed", host=self._host, error="too many alarms wait")

    def close(self) -> None:
        """Wait a little for what is queued, then give up."""
        self._idle.wait(_CLOSE_S_MAX)
        self._ending.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S_MAX)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                body = self._waiting.get(timeout=0.2)
            except queue.Empty:
                self._idle.set()
                continue
            self._deliver(body)

    def _deliver(self, body: bytes) -> None:
        error: str | None = None
        number = 0
        for number, pause_s in enumerate((*self._pauses_s, None), 1):
            error = self._post(body)
            if error is None:
                self._observer.note("webhook_sent", host=self._host, attempts=number)
                return
            if pause_s is None or self._ending.wait(pause_s):
                break
        self._observer.note(
            "webhook_failed", host=self._host, error=error or "ended", attempts=number
        )

    def _post(self, body: bytes) -> str | None:
        """Return what went wrong, or None."""
        headers = {"Content-Type": "application/json", "User-Agent": "legacy-bridge"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        connection = self._connection()
        try:
            connection.request("POST", self._path, body, headers)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as exc:
            return type(exc).__name__  # Its text may quote what was sent.
        finally:
            connection.close()
        return None if 200 <= status < 300 else f"HTTP status {status}"

    def _connection(self) -> http.client.HTTPConnection:
        if self._scheme == "http":
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(
            self._host,
            self._port,
            timeout=self._timeout_s,
            context=ssl.create_default_context(),
        )
