"""What an HTTP client saw of an application, without what is different in every run."""

import re
import ssl
from typing import Any, Final

import httpx

from tests.waiting import wait_until

# A proxy writes these for its own hop; the times in them differ anyway.
_OWN: Final = {"date", "via", "connection", "keep-alive", "transfer-encoding"}
_SAME: Final = (
    (re.compile(rb"https?://127\.0\.0\.1:\d+"), b"SITE"),
    (re.compile(rb"127\.0\.0\.1:\d+"), b"HOST"),
    (re.compile(rb"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT"), b"DATE"),
    (re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*(?:Z|\+00:00)?"), b"TIME"),
    (re.compile(rb"\w{3,9}\.? \d{1,2}, \d{4}, (?:[\d:]+ [ap]\.m\.|noon|midnight)"), b"DAY"),
    (re.compile(rb"\b\d{1,2}:\d\d(?::\d\d)?\b"), b"CLOCK"),
    (re.compile(rb"(csrftoken=|sessionid=|csrfmiddlewaretoken\" value=\")\w+"), b"\\1TOKEN"),
    (re.compile(rb"(csrfToken\"?: \"|CSRF_TOKEN\": \")\w+"), b"\\1TOKEN"),
    (re.compile(rb"[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}"), b"UUID"),
    (re.compile(rb"(messages=)[^;]{20,}"), b"\\1TOKEN"),
    (re.compile(rb"\?v=[\da-f]+"), b"?v=VERSION"),
    (re.compile(rb'W/"[\da-f]+-[\w+/]+"'), b"ETAG"),
)  # fmt: skip


class Transcript:
    """Takes steps at a site, and writes down what came back."""

    def __init__(self, base: str, context: ssl.SSLContext | None = None) -> None:
        self.steps: list[tuple[str, int, list[tuple[str, bytes]], bytes]] = []
        self._client = httpx.Client(
            base_url=base, verify=context or False, timeout=30, headers={"User-Agent": "story"}
        )

    def step(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request, as a browser does from the same site, and note the answer."""
        headers = {"Referer": str(self._client.base_url), **options.pop("headers", {})}
        answer = self._client.request(method, path, headers=headers, **options)
        own = _OWN
        if answer.status_code == httpx.codes.NO_CONTENT:
            own = _OWN | {"content-length"}  # A 204 must not have it (RFC 9110 8.6); Express does.
        fields = [
            (name.decode().lower(), same(value))
            for name, value in answer.headers.raw
            if name.decode().lower() not in own
        ]
        self.steps.append((f"{method} {path}", answer.status_code, fields, same(answer.content)))
        return answer

    def wait_for(self, path: str) -> None:
        """Wait until a path is served, and note nothing of it."""
        wait_until(lambda: self._client.get(path).status_code == httpx.codes.OK, what=path)

    def cookie(self, name: str) -> str:
        """Return the value of a cookie."""
        return self._client.cookies[name]

    def close(self) -> None:
        """End the connections."""
        self._client.close()


def same(text: bytes) -> bytes:
    """Return the text without times, tokens and addresses."""
    for pattern, word in _SAME:
        text = pattern.sub(word, text)
    return text
