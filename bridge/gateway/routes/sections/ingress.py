"""Which of a route's writes are taken at once and sent later (RFC 7240 `respond-async`)."""

from enum import Enum
from typing import Annotated, Final

from pydantic import Field

from bridge.gateway.routes.sections.section import Count, RouteShape, Section

_READS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})


class IngressMode(Enum):
    """When a write is answered 202 and sent later."""

    OFF = "off"  # Never: `Prefer: respond-async` is passed on as any field.
    PREFERRED = "preferred"  # When its client asks with `Prefer: respond-async`.
    ALWAYS = "always"  # Whatever its client asks.


class IngressRules(Section):
    """The asynchronous ingress of one route."""

    mode: IngressMode = IngressMode.OFF
    """`off`, `preferred` (the client asks with `Prefer: respond-async`) or `always`."""
    concurrency: Count = 4
    """How many of the route's queued writes the upstream is given at once."""
    rate_per_s: Annotated[float, Field(gt=0)] | None = None
    """How many of them are begun in a second at most; without it as many as are answered."""
    waiting_max: Count = 10_000
    """How many may wait; the next one gets 503 with `Retry-After`."""
    waiting_bytes_max: Count = 64 << 20
    """How many bytes of bodies may wait."""
    retain_s: Annotated[float, Field(gt=0)] = 86_400.0
    """For how long the answer can be fetched; afterwards the status says 410."""
    give_up_s: Annotated[float, Field(gt=0)] = 3_600.0
    """For how long a write that cannot be sent (its upstream is away, its key is held) is tried
    again, before it ends with the last refusal."""

    def refuse_misfit(self, route: RouteShape) -> None:
        """Raise `ValueError` when these rules cannot hold for `route`."""
        if self.mode is IngressMode.ALWAYS and not _READS.isdisjoint(route.methods):
            raise ValueError("has 'ingress: {mode: always}', but takes methods that only read")
