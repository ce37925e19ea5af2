"""How a route's writes come to both sides: what is promised, and what follows when it goes wrong.

Templates (`/orders/{order_id}`) are filled from the write itself: `{name}` is a parameter of the
route's path, `{request:/pointer}` and `{answer:/pointer}` are values of the client's body and of
the authority's answer, `{idempotency_key}` and `{intent_id}` name the write. Ids are translated to
the side that is asked.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bridge.gateway.routes.sections.section import Count, Flag, Pointer, RouteShape, Section
from bridge.model.stage import Side
from bridge.model.write import WriteLevel

_WRITES_AGAIN: Final = frozenset({b"PUT", b"DELETE"})


class Way(Enum):
    """A way out of doubt, in the order in which a route declares them."""

    ASK = "ask"  # Ask the authority what became of the Idempotency-Key.
    READ = "read"  # Read the entity on the authority and compare it with the intent.
    SEEN = "seen"  # Look for the change among those that were captured from the authority.
    REPLAY = "replay"  # Send it again, which is harmless for PUT, DELETE and honoured keys.
    HOLD = "hold"  # Hold the key until a person has decided.


class KeyDemand(Enum):
    """Whether clients must send an `Idempotency-Key`."""

    ACCEPTED = "accepted"  # They may.
    REQUIRED = "required"  # A write without one is refused with 400.


class Conflict(Enum):
    """What follows when the other side refuses a write that the authority has."""

    PARK = "park"  # Its lane waits for a person.
    SKIP = "skip"  # The lane goes on; the write is listed to be reconciled.
    COMPENSATE = "compensate"  # The declared inverse undoes it on the authority.


class DerivedId(Enum):
    """How the id on the other side follows from the authority's, where callers may choose ids."""

    SAME = "same"  # It is the same text.
    UUID5 = "uuid5"  # RFC 9562 version 5, in a namespace of the group and the entity.


def _template(text: str) -> str:
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no template of a path, which begins with '/'")
    if text.count("{") != text.count("}"):
        raise ValueError(f"{text!r} has braces that do not belong together")
    return text


Template = Annotated[str, AfterValidator(_template)]


class AskRules(Section):
    """Where a side tells what became of a request with an `Idempotency-Key`."""

    target: Template
    """Fetched with GET, e.g. `/requests/{idempotency_key}`; 2xx means that it was carried out."""
    absent: tuple[Count, ...] = (404,)
    """Statuses that mean that it was not."""
    stored_answer: Flag = False
    """Whether the 2xx answer is the very one that was lost."""


class ReadRules(Section):
    """How the entity that a write touches is read back and compared with what was asked for."""

    target: Template
    """Fetched with GET, e.g. `/orders/{order_id}`."""
    compare: Mapping[Pointer, Pointer] = {}
    """Value of the entity → value of the request's body that it must equal; all of them."""
    made_id: Pointer | None = None
    """Where the entity that was read holds its own id, for creates."""
    version: Pointer | None = None
    """Where the entity holds a version that grows with every write (a number)."""


class Inverse(Section):
    """The request that undoes a write on the authority."""

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")]
    target: Template
    body: str | None = None
    """JSON text with placeholders instead of values: `{"qty": {request:/qty}}`."""


class Chosen(Section):
    """A create whose id on the other side is ours to choose."""

    place: Annotated[str, Field(pattern=r"^/[^/~]+$")]
    """A member of the request's body, e.g. `/order_id`."""
    derive: DerivedId = DerivedId.UUID5


class Ages(Section):
    """How old a write may be that the other side does not have yet, in seconds."""

    warn_s: Annotated[float, Field(gt=0)] = 5.0
    guardrail_s: Annotated[float, Field(gt=0)] = 60.0
    dead_s: Annotated[float, Field(gt=0)] = 86_400.0
    """It is parked then, never dropped: a day of trying is enough, somebody must decide."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.warn_s <= self.guardrail_s <= self.dead_s:
            raise ValueError("wants warn_s <= guardrail_s <= dead_s")
        return self


class DualRules(Section):
    """The dual write of one route."""

    level: WriteLevel = WriteLevel.INTENT
    """L1: the outcome is durable. L2: the intent too, before the call. L3: the answer waits until
    the other side has the write."""
    both_wait_ms: Count = 5_000
    """L3: how long the answer waits before it says that the other side does not have it yet."""
    idempotency: KeyDemand = KeyDemand.ACCEPTED
    """Whether clients must send an `Idempotency-Key`."""
    honours_keys: tuple[Side, ...] = ()
    """Sides that carry a request out once for each `Idempotency-Key`, however often it comes."""
    in_doubt: tuple[Way, ...] = (Way.HOLD,)
    """Ways out of doubt that the gateway takes by itself; a person decides the rest."""
    quiet_ms: Annotated[int, Field(strict=True, ge=0)] | None = None
    """How long after an answer was lost the authority may still carry the request out: before that
    nothing that is not there counts as not done, and nothing is sent again. The route's timeout
    when absent."""
    ask: AskRules | None = None
    """How `ask` asks."""
    read: ReadRules | None = None
    """How `read` reads; also used to tell that the other side has a write already."""
    conflict: Conflict = Conflict.PARK
    """What follows when the other side refuses."""
    compensate: Inverse | None = None
    """What undoes a write, for `conflict: compensate`."""
    chosen_id: Chosen | None = None
    """Creates whose id on the other side is ours to choose."""
    ages: Ages = Ages()
    """When a write that waits is told of, is an alarm, and is parked."""
    version: Pointer | None = None
    """Where the authority's answer holds the version that `read.version` is compared with."""
    withhold: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")], ...] = ()
    """Request headers that are not kept in the journal, and so not replayed."""
    read_wait_ms: Annotated[int, Field(strict=True, ge=0, le=50)] = 0
    """How long a read waits for replays of its key before it goes where the key was written."""
    read_your_writes: Flag | Literal["token"] = False
    """For reads whose key stands outside of the path: look it up, at the cost of buffering. With
    `token`, answers to writes also bring a signed token of the client's newest writes, and reads
    that bring it back go to the side that has them, lists without a key too."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if Way.ASK in self.in_doubt and self.ask is None:
            raise ValueError("has 'ask' among 'in_doubt' and does not say how: add 'ask'")
        if Way.READ in self.in_doubt and self.read is None:
            raise ValueError("has 'read' among 'in_doubt' and does not say how: add 'read'")
        if (self.conflict is Conflict.COMPENSATE) != (self.compensate is not None):
            raise ValueError("needs 'conflict: compensate' and 'compensate' together, or neither")
        if self.version is not None and (self.read is None or self.read.version is None):
            raise ValueError("has 'version' and no 'read.version' to compare it with")
        if len(set(self.in_doubt)) != len(self.in_doubt):
            raise ValueError("names a way out of doubt twice")
        return self

    def refuse_misfit(self, route: RouteShape) -> None:
        """Raise `ValueError` when these rules cannot hold for `route`."""
        if not route.writes:
            return  # A file's defaults stand for its reads too, where most of it means nothing.
        if self != DualRules() and len(route.upstreams) < 2:
            raise ValueError("has 'dual' rules, but its group has one side")
        again = self.honours_keys or _WRITES_AGAIN.issuperset(route.methods)
        if Way.REPLAY in self.in_doubt and not (route.methods and again):
            raise ValueError(
                "has 'replay' among 'in_doubt', but its methods are not all PUT or DELETE and no"
                " side is declared under 'honours_keys'; it could be carried out twice"
            )
        compares = self.read is not None and self.read.compare
        if Way.READ in self.in_doubt and not compares and set(route.methods) != {b"DELETE"}:
            raise ValueError("has 'read' among 'in_doubt' and 'read' has no 'compare'")

    @property
    def has_tokens(self) -> bool:
        """Whether clients bring along what they wrote."""
        return self.read_your_writes == "token"

    def quiet_s(self, timeout_ms: int) -> float:
        """Return for how long the authority may still carry out what it got; seconds."""
        return (timeout_ms if self.quiet_ms is None else self.quiet_ms) / 1000
