"""Post alarms as JSON to a URL, in the background, for a bounded time."""

import json
import queue
import threading
from collections.abc import Mapping
from typing import Any, Final

from adapters.http_peer import HttpPeer, PeerUnreachable
from bridge.model.observer import Observer

# An endpoint that takes longer is not listening.
_TIMEOUT_S: Final = 5.0

# Pauses between tries of one alarm: half a minute covers a restart of the receiver.
_PAUSES_S: Final = (1.0, 5.0, 25.0)

# Alarms are changes of a level. More of them than this, and the receiver has been away for long.
_WAITING_MAX: Final = 32

_CLOSE_S_MAX: Final = 2.0

# Only the status counts.
_ANSWER_BYTES_MAX: Final = 1_024


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
        self._peer = HttpPeer(
            url,
            refusal=(
                "cannot use the webhook: expected a URL of the form https://HOST[:PORT]/PATH "
                "without a user"
            ),
            timeout_s=timeout_s,
        )
        self._target = (self._peer.path or "/") + self._peer.query
        self._token = token
        self._observer = observer
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
            self._observer.note(
                "webhook_failed", host=self._peer.host, error="too many alarms wait"
            )

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
                self._observer.note("webhook_sent", host=self._peer.host, attempts=number)
                return
            if pause_s is None or self._ending.wait(pause_s):
                break
        self._observer.note(
            "webhook_failed", host=self._peer.host, error=error or "ended", attempts=number
        )

    def _post(self, body: bytes) -> str | None:
        """Return what went wrong, or None."""
        headers = {"Content-Type": "application/json"}
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            status = self._peer.post(
                self._target, body, headers, answer_bytes_max=_ANSWER_BYTES_MAX
            ).status
        except PeerUnreachable as exc:
            return str(exc)
        return None if 200 <= status < 300 else f"HTTP status {status}"
