"""Alarms reach a receiver that is slow, away for a while or refuses, and tell no secret."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from adapters.webhook.bell import WebhookBell
from bridge.model.errors import ConfigInvalid
from tests.waiting import RecordingObserver, wait_until

SECRET = "canary-path-secret"
TOKEN = "canary-token"


class _Handler(http.server.BaseHTTPRequestHandler):
    bodies: ClassVar[list[Any]] = []
    tokens: ClassVar[list[str | None]] = []
    answers: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.answers.pop(0) if self.answers else 204
        self.bodies.append(json.loads(body))
        self.tokens.append(self.headers["Authorization"])
        self.send_response(status)
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the name that it has there
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[tuple[str, type[_Handler]]]:
    handler = type("Receiver", (_Handler,), {"bodies": [], "tokens": [], "answers": []})
    server = http.server.HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook/{SECRET}?k={SECRET}", handler
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_alarm_is_posted_with_its_token(receiver: tuple[str, type[_Handler]]) -> None:
    url, handler = receiver
    observer = RecordingObserver()
    bell = WebhookBell(url, observer=observer, token=TOKEN)
    bell.ring({"alarm": "wal-guard", "level": "critical"})
    observer.await_note("webhook_sent", attempts=1)
    bell.close()
    assert handler.bodies == [{"alarm": "wal-guard", "level": "critical"}]
    assert handler.tokens == [f"Bearer {TOKEN}"]
    assert SECRET not in str(observer.notes())
    assert TOKEN not in str(observer.notes())


def test_a_refused_alarm_is_repeated_and_given_up(receiver: tuple[str, type[_Handler]]) -> None:
    url, handler = receiver
    handler.answers.extend([503, 302, 200, 500, 500, 500])
    observer = RecordingObserver()
    bell = WebhookBell(url, observer=observer, pauses_s=(0.01, 0.01))
    bell.ring({"n": 1})
    observer.await_note("webhook_sent", attempts=3)
    bell.ring({"n": 2})
    told = observer.await_note("webhook_failed", attempts=3)
    bell.close()
    assert told["error"] == "HTTP status 500"
    assert [body["n"] for body in handler.bodies] == [1, 1, 1, 2, 2, 2]
    assert SECRET not in str(observer.notes())


def test_a_receiver_that_is_away_costs_the_caller_nothing() -> None:
    observer = RecordingObserver()
    bell = WebhookBell(f"http://127.0.0.1:1/{SECRET}", observer=observer, pauses_s=(60.0,))
    for number in range(40):
        bell.ring({"n": number})
    full = observer.await_note("webhook_failed", host="127.0.0.1")
    bell.close()
    assert full["error"] == "too many alarms wait"
    wait_until(lambda: observer.notes("webhook_failed")[-1].facts["error"] != full["error"], 5)
    assert SECRET not in str(observer.notes())


@pytest.mark.parametrize(
    "url", ["ftp://h/x", f"https://user:{SECRET}@h/x", SECRET, f"http://h:{SECRET}/"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigInvalid, match="cannot use the webhook") as caught:
        WebhookBell(url, observer=RecordingObserver())
    assert SECRET not in str(caught.value)
    assert "user" in str(caught.value)
