"""What is copied to the other side for comparison: `shadow:` of a route."""

from collections.abc import Mapping
from typing import Annotated, Final, Self

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, model_validator

from bridge.gateway.http.fields import is_token
from bridge.gateway.routes.sections.section import Count, Flag, RouteShape, Section
from bridge.model.stage import Side, Stage

SAFE: Final = frozenset((b"GET", b"HEAD"))
"""Methods that are copied to a side that was not declared free of side effects (RFC 9110 9.2.1)."""

# The stages after `shadow` at which there are two sides to compare, and at which both are kept up.
_LATER: Final = frozenset((Stage.DUAL, Stage.CANARY, Stage.HANDOVER, Stage.MODERN))

# These frame or route the message: a rule on them would make the copy another request.
_NOT_OURS: Final = frozenset(
    ("connection", "content-length", "host", "te", "trailer", "transfer-encoding", "upgrade", "via")
)


def _field_name(name: str) -> str:
    if not name.isascii() or not is_token(name.encode()):
        raise ValueError(f"has {name!r}, which is no name of a header field")
    if name.lower() in _NOT_OURS or name.lower().startswith("legacy-bridge-"):
        raise ValueError(f"has {name!r}, which the gateway itself writes")
    return name


def _field_value(value: str | None) -> str | None:
    if value is not None and any(not "\x20" <= char <= "\x7e" for char in value):
        raise ValueError("has a value with characters outside of printable ASCII")
    return value


FieldName = Annotated[str, AfterValidator(_field_name)]
Percent = Annotated[StrictInt | StrictFloat, Field(ge=0, le=100)]


class PathSwap(Section):
    """The beginning of the path, where the other side has it elsewhere."""

    prefix: Annotated[str, Field(pattern=r"^/[!-~]*$")]
    """What the path of the request begins with."""
    becomes: Annotated[str, Field(pattern=r"^/[!-~]*$")]
    """What stands in its place in the copy."""


class ShadowRules(Section):
    """Copies of requests to the side whose answers nobody gets, for comparison.

    A copy is made at stage `shadow`, and by sample at every later stage with two sides. Nothing of
    it reaches the client: neither its answer nor its delay nor its failure.
    """

    percent: Percent = 100
    """Share of the requests that is copied at stage `shadow`; 0 copies nothing."""
    later_percent: Percent = 1
    """The same at `dual` and `modern`: a sample that shows whether both sides stay alike."""
    copies_per_s: Count = 50
    """At most so many copies a second and worker, because the other side may be smaller than
    production."""
    by_key: Flag = False
    """Choose by the key (of the path, a header, a cookie, the query or a claim) rather than by
    chance: all requests of a key, or none. The keys are dealt as for a canary's cohort."""
    side_effect_free: Flag = False
    """Whether the modern side may get copies of writes: it is a stand-in whose data nobody needs,
    and which calls nobody. Only at stage `shadow`: later its writes come from the journal."""
    timeout_ms: Count = 5_000
    """A copy older than this is given up; the pair is counted as not compared."""
    request_bytes_max: Count = 16 * 1024 * 1024
    """A request with a larger body is not copied. What is above 64 kB waits on disk."""
    answer_bytes_max: Count = 1024 * 1024
    """A pair with a larger answer is not compared: comparing costs the worker's time, about 1 ms
    for 100 kB of JSON that differs."""
    probes_per_s: Count = 10
    """The authority is asked twice for a part of the reads (`comparison.noise_fraction`), at most
    so many times a second and worker, and as often for second looks: it is live."""
    second_look_ms: Count = 250
    """After a difference both sides are read once more, so much later. If they agree then, one of
    them was only ahead: the pair counts as flapping."""
    headers: Mapping[FieldName, Annotated[str | None, AfterValidator(_field_value)]] = {}
    """Fields of the copy that are replaced, or left out (`null`). Credentials stand in the
    settings of the upstream, as its `shadow_headers`."""
    path: PathSwap | None = None
    """Where the other side has the path elsewhere."""

    @model_validator(mode="after")
    def _once_each(self) -> Self:
        names = [name.lower() for name in self.headers]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"says more than once what becomes of header {twice[0]!r}")
        return self

    def refuse_misfit(self, route: RouteShape) -> None:
        """Refuse what cannot be meant."""
        if self.side_effect_free and Side.MODERN not in route.upstreams:
            raise ValueError("'shadow.side_effect_free' speaks of a modern side that is not there")
        if self.by_key and "{" not in route.path and not route.has_key_outside_bodies:
            raise ValueError(
                "'shadow.by_key' needs a '{name}' in the path, or a 'key' that is not in a body"
            )

    def share(self, stage: Stage) -> float:
        """Return the share of requests, 0 to 1, that is copied at `stage`."""
        if stage is Stage.SHADOW:
            return self.percent / 100
        return self.later_percent / 100 if stage in _LATER else 0.0

    def copies(self, stage: Stage, *, writes: bool) -> bool:
        """Whether requests of a route may be copied at `stage`; `writes` as the route says."""
        if writes and not (self.side_effect_free and stage is Stage.SHADOW):
            return False
        return self.share(stage) > 0
