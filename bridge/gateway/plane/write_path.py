"""The write path, as the data plane knows it."""

from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeAlias

from bridge.gateway.http.answer_taker import AnswerTaker
from bridge.gateway.routes.decision import Decision
from bridge.model.http import HttpRequest, HttpResponse

Asking: TypeAlias = Callable[[], Coroutine[Any, Any, HttpResponse | None]]
"""Asks the other side for its answer; None when it has none either."""


class WritePath(Protocol):
    """The part of the gateway that knows both sides; the data plane hands it whole requests."""

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Take a journalled write through intent, authority, outcome; return the client's answer.

        Never raises for what the sides do: a refusal of our own comes as problem+json.
        """

    def begin(
        self, decision: Decision, request: HttpRequest, wire: bytes, told: AnswerTaker
    ) -> bool:
        """Take a write without a task if nothing about it is special; else return False.

        `told` hears the answer later. `wire` is the request as it goes over the wire; it has no
        `Idempotency-Key` and no field under the gateway's own prefix. What was begun goes its whole
        way, whatever becomes of the client.
        """
        return False

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Forward a request whose ids must be translated on the way in and out."""

    def translates(self, decision: Decision) -> bool:
        """Whether the authority knows an id of this request by another name (cheap, no wait)."""

    def instead(self, decision: Decision, request: HttpRequest, asked_at: float) -> Asking | None:
        """Return what asks legacy in modern's place; None when it may lack a write (no wait).

        `asked_at` is when the client was heard (monotonic seconds).
        """
