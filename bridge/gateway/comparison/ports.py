"""What comparison asks of its store.

Implementations: `bridge.storage.comparison.sqlite`, `bridge.storage.comparison.memory`; one
conformance suite in `tests/storage/comparison/`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from bridge.gateway.comparison.samples import Sample
from bridge.gateway.comparison.tally import Tally


class RouteNews(NamedTuple):
    """What a worker found on one route since it last told."""

    route: str
    rules: str
    """Digest of the rules that it was found under (`rules_digest`)."""
    counts: Tally
    samples: tuple[Sample, ...] = ()


class Series(NamedTuple):
    """Counts of one route under one version of its rules."""

    route: str
    rules: str
    began_at: datetime
    changed_at: datetime


class ComparisonStore(Protocol):
    """Counts and samples of all workers. Blocking, durable against a crash of the process.

    Raises:
        StorageUnavailable: the store cannot be read or written; nothing was changed.
    """

    def add(self, news: Sequence[RouteNews]) -> None:
        """Add counts to the open series of their route and rules, and keep samples, in one commit.

        Of each route and class of difference the newest samples are kept, within the bounds.
        """

    def series(self) -> Sequence[Series]:
        """Return the open series, newest change first."""

    def counts(self, route: str, rules: str) -> Tally:
        """Return the counts of the open series; empty when there is none."""

    def samples(
        self, *, route: str | None = None, difference: str | None = None, count_max: int = 50
    ) -> Sequence[Sample]:
        """Return samples, newest first; `difference` is part of their class."""

    def sample(self, sample_id: str) -> Sample | None:
        """Return one sample."""

    def restart(self, route: str) -> int:
        """Begin the route's counts anew and forget its samples; return how many series ended."""

    def prune(self, before: datetime) -> int:
        """Forget samples made before, and series that have not changed since; return how many."""
