"""A span as we make it, and where it goes. Pure.

Names and attributes follow OpenTelemetry's semantic conventions for HTTP (1.27 and later), with one
omission: nothing that a client or a side wrote is told, so there is no `url.path`, `url.full` or
`server.address` of a server span. The template of the route stands for the path.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Final, NamedTuple, Protocol, TypeAlias

Attributes: TypeAlias = Mapping[str, str | int | bool]

_METHODS: Final = frozenset(
    ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
)
_OTHER: Final = "_OTHER"


class SpanKind(Enum):
    """Whose work a span tells of."""

    SERVER = "server"  # A client's request, until its answer has left.
    CLIENT = "client"  # A request to a side.
    INTERNAL = "internal"  # Something of our own.


class Span(NamedTuple):
    """One piece of work that has ended."""

    name: str
    kind: SpanKind
    trace_id: int
    span_id: int
    parent_id: int
    """0 where the trace begins."""
    parent_is_remote: bool
    began_ns: int
    """Since the epoch of Unix, as `ended_ns`."""
    ended_ns: int
    attributes: Attributes
    failed: bool = False
    linked_id: int = 0
    """A span of the same trace that it follows from, in another process; 0 for none."""


class SpanSink(Protocol):
    """Where spans go."""

    def take(self, span: Span) -> None:
        """Take one; returns at once, and may drop it. It must not raise."""


def method_name(method: bytes) -> str:
    """Return a method as spans tell it: a client may write anything there."""
    name = method.decode("ascii", "replace")
    return name if name in _METHODS else _OTHER


def label_attributes(label: str, times: str = "-") -> dict[str, str | int | bool]:
    """Return what a decision's label says: route, stage and side.

    `times` is the label of its times, which knows the cohort if its key was dealt.
    """
    names = ("bridge.route", "bridge.stage", "bridge.side")
    said: dict[str, str | int | bool] = {
        name: word for name, word in zip(names, label.split("."), strict=False) if word != "-"
    }
    cohort = times.split(".")[3:]
    if cohort:
        said["bridge.cohort"] = cohort[0]
    return said
