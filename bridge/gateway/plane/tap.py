"""What may watch exchanges from beside the data plane, and can do them no harm.

A tap is asked once, as a request begins, whether it follows this exchange. If it does, it gets the
request as it was forwarded and the authority's answer, each whole or not at all: copies are
bounded, and one that grows over its bound is given up, never the exchange. Whatever a tap raises
ends its following and is noted; the exchange does not hear of it. What a tap does it does in the
event loop's turn, after the bytes of the exchange have been written: it must be brief.

Which routes are followed is decided when the table is built (`Decision.tapped`), so that others
pay one look at a flag.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final, Protocol

from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.routes.decision import Decision
from bridge.model.http import HttpResponse
from bridge.model.observer import Observer


class BodyCopy(Protocol):
    """Where the copy of a body is kept."""

    def add(self, data: bytes) -> bool:
        """Keep more; return False when that is over the bound, and let go of everything."""


class Followed(ABC):
    """One exchange that a tap follows; fed by `Forward` or `Buffered`, and made by the tap.

    The feeding methods gather what is followed and call the hooks (`on_…`) at most once each:
    `on_request`, then `on_answer`; instead of either, `on_given_up`, after which nothing comes.
    """

    __slots__ = (
        "answer_body", "answer_head", "answer_response", "answered_at", "began_at", "block", "body",
        "decision", "ended_at", "gave_up", "head", "observer", "request_is_whole",
    )  # fmt: skip

    def __init__(
        self,
        decision: Decision,
        head: RequestHead,
        block: bytes,
        *,
        body: BodyCopy | None,
        answer: BodyCopy,
        observer: Observer,
    ) -> None:
        """`block` holds the field lines as forwarded, each with its CRLF; `body` is None when the
        request has none."""
        self.decision = decision
        self.head = head
        self.block = block
        self.body = body
        self.observer = observer
        self.answer_body = answer
        self.answer_head: ResponseHead | None = None
        self.answer_response: HttpResponse | None = None
        """In place of `answer_head`, from a request that was answered whole."""
        self.began_at = time.monotonic()
        self.answered_at = 0.0
        """When the answer's head came; monotonic seconds, as `began_at`."""
        self.ended_at = 0.0
        self.request_is_whole = False
        self.gave_up = False

    # -- what the tap does with it --------------------------------------------------------------

    @abstractmethod
    def on_request(self) -> None:
        """The request is whole and was handed to the authority's connection."""

    @abstractmethod
    def on_answer(self) -> None:
        """The authority's answer is whole."""

    @abstractmethod
    def on_given_up(self, reason: str) -> None:
        """There will be no whole copy; `reason` is a word for a count."""

    # -- what the data plane feeds --------------------------------------------------------------

    def more_request(self, data: bytes, *, complete: bool) -> None:
        """Take more of the request's body, decoded."""
        if self.gave_up:
            return
        if data and self.body is not None and not self._kept(self.body, data):
            return
        if complete:
            self.request_is_whole = True
            self._tell(self.on_request)

    def answered(self, head: ResponseHead, data: bytes, *, ended: bool) -> None:
        """Take the final answer's head and what came with it."""
        if self.gave_up:
            return
        self.answer_head = head
        self.answered_at = time.monotonic()
        if not self.request_is_whole:
            self.failed("answered_early")
        elif (not data or self._kept(self.answer_body, data)) and ended:
            self.ended()

    def more_answer(self, data: bytes) -> None:
        """Take more of the answer's body."""
        if not self.gave_up:
            self._kept(self.answer_body, data)

    def ended(self) -> None:
        """The answer is whole."""
        if not self.gave_up:
            self.ended_at = time.monotonic()
            self._tell(self.on_answer)

    def responded(self, response: HttpResponse) -> None:
        """Take a whole answer at once."""
        if self.gave_up:
            return
        self.answer_response = response
        self.answered_at = time.monotonic()
        if self._kept(self.answer_body, response.body):
            self.ended()

    def failed(self, reason: str) -> None:
        """There will be no whole answer, or nobody who waits for it."""
        if not self.gave_up:
            self.gave_up = True
            self._tell(lambda: self.on_given_up(reason))

    # -- inside ---------------------------------------------------------------------------------

    def _kept(self, copy: BodyCopy, data: bytes) -> bool:
        try:
            kept = copy.add(data)
        except Exception as exc:
            self._stumbled(exc)
            return False
        if not kept:
            self.failed("answer_too_large" if copy is self.answer_body else "request_too_large")
        return kept

    def _tell(self, hook: Callable[[], None]) -> None:
        try:
            hook()
        except Exception as exc:
            self._stumbled(exc)

    def _stumbled(self, exc: Exception) -> None:
        """A bug of the tap is the tap's; its exchange goes on."""
        self.gave_up = True
        note_stumble(self.observer, exc)


class Tap(Protocol):
    """Whoever follows exchanges of one worker."""

    def follow(self, decision: Decision, head: RequestHead, block: bytes) -> Followed | None:
        """Return what is to be fed with this exchange, or None to let it pass.

        Called as the request begins; `block` holds the field lines as forwarded.
        """

    def tick(self, now: float) -> None:
        """Look at deadlines and tell counts; a tenth of a second apart. `now` is monotonic."""

    def close(self) -> None:
        """Let go of everything at once."""


class NoTap:
    """Follows nothing."""

    def follow(self, decision: Decision, head: RequestHead, block: bytes) -> None:
        """Let it pass."""

    def tick(self, now: float) -> None:
        """Nothing to look at."""

    def close(self) -> None:
        """Nothing to let go of."""


NO_TAP: Final = NoTap()


def follow(
    tap: Tap, observer: Observer, decision: Decision, head: RequestHead, block: bytes
) -> Followed | None:
    """Ask `tap` whether it follows; what it raises is noted and means no."""
    try:
        return tap.follow(decision, head, block)
    except Exception as exc:
        note_stumble(observer, exc)
        return None


def note_stumble(observer: Observer, exc: Exception) -> None:
    """Note that a tap raised."""
    observer.note("tap_failed", error=type(exc).__name__)
