"""How much of a route's traffic is let through, and what goes first: `protection:` of a route."""

from enum import Enum
from typing import Annotated, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from bridge.gateway.routes.sections.section import Count, Section

Seconds = Annotated[StrictInt | StrictFloat, Field(gt=0, le=86_400)]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$")]


class Priority(Enum):
    """What waits longer, and is shed first, when an upstream has no room."""

    HIGH = "high"  # Declared: people wait for it.
    NORMAL = "normal"  # The default.
    LOW = "low"  # Declared: reports, batches, prefetching.


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
