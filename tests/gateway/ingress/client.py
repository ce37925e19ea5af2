"""Clients of a gateway that may be killed meanwhile: one connection per thread."""

import http.client
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple, Self

from tests.waiting import wait_until

KEYS = 10


class Answer(NamedTuple):
    """What a test looks at."""

    status: int
    location: str
    body: bytes


class Clients:
    """Asks one gateway from any thread, again when a killed worker had the connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._own = threading.local()
        self._all: list[http.client.HTTPConnection] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for connection in self._all:
            connection.close()

    def ask(
        self, method: str, target: str, body: str | None = None, *, at_once: bool = False
    ) -> Answer:
        """Send one request; a body is also its `Idempotency-Key`, and it is queued as a rule."""
        headers = {}
        if body is not None:
            headers = {"Idempotency-Key": f'"{body}"'}
            if not at_once:
                headers["Prefer"] = "respond-async"
        answers: list[Answer] = []

        def tried() -> bool:
            connection = self._connection()
            try:
                connection.request(method, target, body, headers)
                got = connection.getresponse()
                answers.append(Answer(got.status, got.headers["Location"] or "", got.read()))
            except (OSError, http.client.HTTPException):
                connection.close()
            return bool(answers)

        wait_until(tried, timeout_s=30, what="an answer of the gateway")
        return answers[0]

    def spike(self, count: int) -> dict[str, str]:
        """Write `count` times, by ten keys at once; return status URL by body."""
        locations: dict[str, str] = {}

        def write_key(key: int) -> None:
            for turn in range(count // KEYS):
                body = f"{key}-{turn}"
                answer = self.ask("PUT", f"/orders/{key}/status", body)
                assert answer.status == 202, answer
                locations[body] = answer.location

        with ThreadPoolExecutor(KEYS) as threads:
            list(threads.map(write_key, range(KEYS)))
        return locations

    def await_end(
        self, locations: dict[str, str], meanwhile: Callable[[], None] = lambda: None
    ) -> dict[str, int]:
        """Wait until every request has ended; return the status of each status resource."""
        ended: dict[str, int] = {}

        def look() -> bool:
            meanwhile()
            for body, location in locations.items():
                if body not in ended:
                    answer = self.ask("GET", location)
                    if answer.status == 202:
                        return False
                    ended[body] = answer.status
            return True

        wait_until(look, timeout_s=60, what="the end of every request")
        return ended

    def _connection(self) -> http.client.HTTPConnection:
        found: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if found is None:
            found = self._own.connection = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=30
            )
            self._all.append(found)
        return found
