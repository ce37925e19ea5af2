"""What reconciliation asks of its stores.

Implementations of `FindingStore`: `bridge.storage.reconciliation.sqlite` and `.memory`; one
conformance suite in `tests/storage/reconciliation/`. `KnownIds` is the write journal's desk.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from bridge.gateway.reconciliation.findings import (
    Bypass,
    Finding,
    FindingState,
    Progress,
    RangeDigest,
)


class KeyPlace(NamedTuple):
    """A key and its place in the walk."""

    place: int
    """Grows along the walk, above 0."""
    key: str


class KnownIds(Protocol):
    """The id map, from its oldest pair on."""

    def id_keys(self, group: str, entity: str, after: int, count_max: int) -> Sequence[KeyPlace]:
        """Return ids by which clients know entities, behind the place `after`."""


class FindingStore(Protocol):
    """Findings, walks and bypasses. Blocking.

    Raises:
        StorageUnavailable: the store cannot be read or written; nothing was changed.
    """

    def found(self, finding: Finding) -> None:
        """Keep a finding; one of the same entity keeps its `found_at`.

        An accepted one stays accepted while its digests are the same; a repaired one is open again.
        """

    def agrees(
        self, group: str, entity: str, key: str, origins: Collection[str] | None = None
    ) -> bool:
        """Forget the finding of an entity that no longer differs; return whether there was one.

        With `origins` one that something else found stays: it saw other things.
        """

    def finding(self, group: str, entity: str, key: str) -> Finding | None:
        """Return one finding."""

    def findings(
        self,
        *,
        group: str | None = None,
        entity: str | None = None,
        state: FindingState | None = None,
        count_max: int = 100,
    ) -> Sequence[Finding]:
        """Return findings, newest first."""

    def counts(self) -> Sequence[tuple[str, str, FindingState, int]]:
        """Return how many findings there are by group, entity and state."""

    def mark(
        self,
        group: str,
        entity: str,
        key: str,
        state: FindingState,
        *,
        repair: str | None = None,
        reason: str | None = None,
    ) -> bool:
        """Set a finding's state; return False when there is no such finding."""

    def progress(self) -> Sequence[Progress]:
        """Return where every walk stands."""

    def move(self, progress: Progress, digest: RangeDigest | None = None) -> None:
        """Keep where a walk stands, and the digest of the range that it has read."""

    def ranges(self, group: str, entity: str, count_max: int = 100) -> Sequence[RangeDigest]:
        """Return the newest ranges first, each as it was read last."""

    def cursor(self, name: str) -> int:
        """Return a reader's place in the event log; 0 at first."""

    def seen(
        self, name: str, cursor: int, keys: Sequence[tuple[str, str]], bypasses: Sequence[Bypass]
    ) -> None:
        """Move a reader's place, and with it keep captured keys (subject, key) and bypasses.

        Bypasses of the same subject and hour are added up.
        """

    def captured_keys(self, subject: str, after: int, count_max: int) -> Sequence[KeyPlace]:
        """Return captured keys of a subject behind the place `after`."""

    def bypasses(self, *, group: str | None = None, count_max: int = 100) -> Sequence[Bypass]:
        """Return bypasses, newest first."""

    def prune(self, before: datetime) -> int:
        """Forget bypasses and ranges from before; return how many."""
