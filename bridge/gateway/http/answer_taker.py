"""Whoever waits for the answer to a whole request, without a task."""

from typing import Protocol

from bridge.gateway.http.response_head import ResponseHead
from bridge.model.http import HttpResponse


class AnswerTaker(Protocol):
    """Hears one of these, once."""

    def answered(self, response: HttpResponse) -> None:
        """Take an answer that was made, or changed, here."""

    def relayed(self, head: ResponseHead, body: bytes) -> None:
        """Take the whole answer of an upstream, as it came."""

    def broke(self, exc: Exception) -> None:
        """Hear of a bug: there is no answer, and what was promised is in the journal."""
