"""How much of a route's traffic is let through, and what goes first: `protection:` of a route."""

from enum import Enum
from typing import Annotated, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from bridge.gateway.routes.sections.section import Count, RouteShape, Section
from bridge.model.stage import Side

Seconds = Annotated[StrictInt | StrictFloat, Field(gt=0, le=86_400)]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$")]


class Priority(Enum):
    """What waits longer, and is shed first, when an upstream has no room."""

    HIGH = "high"  # Declared: people wait for it.
    NORMAL = "normal"  # The default.
    LOW = "low"  # Declared: reports, batches, prefetching.


class Fallback(Enum):
    """Whether legacy answers a read in place of a modern side that cannot."""

    OFF = "off"  # The default: the client gets the error.
    READS = "reads"  # Declared: where legacy provably has every acknowledged write of the key.
    STALE = "stale"  # Declared: reads without a key also while some are on their way, marked.


class ClientPlace(Section):
    """What tells one client from another: one place; the address where a request lacks it."""

    header: FieldName | None = None
    """A request header, such as an API key."""
    cookie: FieldName | None = None
    """A cookie."""
    claim: str | None = None
    """A claim of the bearer token (JWT), unverified: a name, or a JSON pointer into the claims."""
    address: bool = False
    """The client's address: the connection's, or what a trusted hop says."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        given = [self.header, self.cookie, self.claim, self.address or None]
        if sum(each is not None for each in given) != 1:
            raise ValueError("needs one of header, cookie, claim and address")
        return self


class RateLimit(Section):
    """A token bucket: a steady rate and what may come at once."""

    requests: Count
    """How many in `per_s` seconds."""
    per_s: Seconds = 1
    """The length of that time."""
    burst: Count | None = None
    """How many at once after a rest; `requests` when absent."""
    client: ClientPlace | None = None
    """Each client has a bucket of its own; without it the whole route has one."""

    @property
    def rate(self) -> float:
        """Return requests per second."""
        return self.requests / self.per_s


class ProtectionRules(Section):
    """What a route lets through; off without rules."""

    rate_limits: Annotated[tuple[RateLimit, ...], Field(max_length=4)] = ()
    """Each request must pass all of them. A client over its limit gets 429; when the route's own
    is spent, 503."""
    priority: Priority = Priority.NORMAL
    """Who waits longer and is shed first, when the upstream has no room."""
    fallback: Fallback = Fallback.OFF
    """`reads`: legacy answers a read that modern cannot answer, if no write of the key is still on
    its way to it. `stale`: a read without a key is answered even then, and says so."""
    fallback_after_ms: Count | None = None
    """How long modern is waited for before legacy is asked, from the request to the first byte of
    the answer; the route's `connect_ms` when absent, or 1,000."""
    fallback_statuses: Annotated[
        tuple[Annotated[StrictInt, Field(ge=500, le=599)], ...], Field(max_length=20)
    ] = ()
    """Answers of modern that are no answers: legacy is asked instead, as after a lost one."""

    @property
    def falls_back(self) -> bool:
        """Return whether legacy may answer in modern's place."""
        return self.fallback is not Fallback.OFF

    def refuse_misfit(self, route: RouteShape) -> None:
        """Raise `ValueError` when these rules cannot hold for `route`."""
        if self.fallback is Fallback.OFF:
            if self.fallback_after_ms is not None or self.fallback_statuses:
                raise ValueError("says when to fall back, but has no 'fallback: reads'")
            return
        if route.writes:
            raise ValueError("has 'fallback', but writes; only reads can be answered elsewhere")
        if not {Side.LEGACY, Side.MODERN} <= set(route.upstreams):
            raise ValueError("has 'fallback', but its group has no two sides")
        if route.methods and not {b"GET", b"HEAD"} & set(route.methods):
            raise ValueError("has 'fallback', but takes neither GET nor HEAD")
