"""Whether a request is sampled, by which ids its spans are known, and what is known of it.

The sampled flag of a client's `traceparent` is honoured; without one, chance decides. What was
decided stands in the `traceparent` that goes to the sides and into the journal, so that whoever
comes later (a copy, a replay in another process) needs to know nothing else.
"""

import time
from collections.abc import Callable, Sequence
from random import getrandbits, random
from typing import Final

from bridge.gateway.http.trace_context import Bits, read_parent
from bridge.gateway.routes.decision import Decision
from bridge.gateway.tracing.span import Attributes, Span, SpanKind, SpanSink

# Copies and comparisons come after their request; what is older than so many others is forgotten.
_KNOWN_MAX: Final = 4_096


class RequestTrace:
    """One request: what its own span and those below it need."""

    __slots__ = (
        "began_ns", "decision", "failure", "label", "method", "own", "parent_id", "remote",
        "sampled", "span_id", "status", "trace_id", "writing_ns",
    )  # fmt: skip

    def __init__(
        self, trace_id: int, span_id: int, parent_id: int, *, sampled: bool, method: bytes
    ) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.parent_id = parent_id
        self.remote = parent_id != 0
        self.sampled = sampled
        self.method = method
        self.began_ns = time.time_ns()
        self.decision: Decision | None = None
        self.label = "-"
        self.status = 0
        self.own = False
        """Whether the gateway answered by itself."""
        self.failure = ""
        """Why there was no whole answer, as a word."""
        self.writing_ns = 0
        """When the write path got it."""

    def bits(self, count: int) -> int:
        """Return our ids, to whoever asks for random ones (see `trace_context.traced`)."""
        return self.trace_id if count == 128 else self.span_id


class Tracer:
    """Makes the spans of one process; belongs to its event loop."""

    def __init__(
        self,
        sink: SpanSink,
        ratio: float,
        *,
        chance: Callable[[], float] = random,
        bits: Bits = getrandbits,
    ) -> None:
        """`ratio` of the requests without a flag of their own are sampled."""
        self.sink = sink
        self._ratio = ratio
        self._chance = chance
        self._bits = bits
        self._known: dict[int, RequestTrace] = {}

    def begin(self, method: bytes, lines: Sequence[bytes]) -> RequestTrace:
        """Begin a request with these field lines."""
        parent = read_parent(lines)
        if parent is None:
            sampled = self._chance() < self._ratio
            trace = RequestTrace(
                self._bits(128) or 1, self.new_id(), 0, sampled=sampled, method=method
            )
        else:
            trace = RequestTrace(
                parent.trace_id,
                self.new_id(),
                parent.span_id,
                sampled=parent.sampled,
                method=method,
            )
        if trace.sampled:
            self._known[trace.span_id] = trace
            if len(self._known) > _KNOWN_MAX:
                del self._known[next(iter(self._known))]
        return trace

    def find(self, span_id: int) -> RequestTrace | None:
        """Return a sampled request of this process, if it is not long ago."""
        return self._known.get(span_id)

    def new_id(self) -> int:
        """Return an id for a span."""
        return self._bits(64) or 1

    def tell(
        self,
        name: str,
        trace: RequestTrace,
        began_ns: int,
        attributes: Attributes,
        *,
        failed: bool = False,
    ) -> None:
        """Tell of work of our own below a request, which ends now."""
        self.sink.take(
            Span(
                name,
                SpanKind.INTERNAL,
                trace.trace_id,
                self.new_id(),
                trace.span_id,
                False,
                began_ns,
                time.time_ns(),
                attributes,
                failed,
            )
        )
