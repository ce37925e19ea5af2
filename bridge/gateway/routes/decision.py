"""What the route table decides for one request."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from bridge.gateway.routes.block_edit import SideRewriting
from bridge.gateway.routes.route import KeyRule, Route
from bridge.gateway.routes.timings import UNTIMED, RouteTimes
from bridge.model.stage import Side, Stage

WRITES_LEGACY_ALONE: Final = frozenset((Stage.LEGACY, Stage.SHADOW))
"""Stages at which no other side is told of a write, unless earlier ones are still on their way."""


class Choice(NamedTuple):
    """What has to be looked at in each request of a route before it is known who gets it."""

    share_percent: float
    """Share of the keys whose reads come from modern; 0 but at stage `canary`."""
    key: KeyRule | None
    """Where a read has the key that it is dealt by; None for a read of all keys."""
    forcible: bool
    """Whether tokens are out that force a side: they are looked for, and taken out."""


class Decision(NamedTuple):
    """Route, stage and side for one request, from one immutable table."""

    route: Route
    stage: Stage
    epoch: int
    authority: Side
    params: Mapping[str, str]
    """Path parameters, percent-decoded once."""
    journalled: bool
    """A write at a stage that has two sides: it takes the write path, not the fast path."""
    upstream: str = ""
    """The authority's upstream, for a request that is forwarded as it comes."""
    has_ids: bool = False
    """Whether the write path has to be asked for ids to translate, or for bodies to change."""
    tapped: bool = False
    """Whether the worker's tap is asked to follow this request (see `plane.tap`)."""
    edits: SideRewriting | None = None
    """What the route's rules change for the authority."""
    label: str = "-"
    """Route, stage and side, with dots between: what its answers are counted under."""
    times: RouteTimes = UNTIMED
    """Where the times of this label are counted; bound when the table is built."""
    choice: Choice | None = None
    """What is chosen for each request; None, nearly always, when there is nothing to choose."""
    other: "Decision | None" = None
    """The same read by the other side; None for writes, and where one side alone is asked."""
    forced: bool = False
    """Whether a tester's token says who answers, whatever is on its way."""
    way_back: "Decision | None" = None
    """How legacy answers this read when modern cannot; None, nearly always, where it may not."""
    special: bool = False
    """Whether it is more than a plain forward: journalled, with ids, or with a way back."""
    behind_queue: bool = False
    """A write of a group that queues some: it waits for those of its key, see `docs/asynchronous`.
    """

    def elsewhere(self) -> "Decision":
        """Return the decision for this very request by the other side, which there must be."""
        assert self.other is not None, "there is no other side to ask"
        return self.other._replace(params=self.params)
