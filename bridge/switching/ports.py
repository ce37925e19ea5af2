"""What switching asks of its store and of the running replicas; blocking."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from bridge.model.entry import EntryDraft
from bridge.model.stage import GroupState, Stage, Switch
from bridge.model.warrant import Warrant
from bridge.switching.history import SwitchRecord


class SwitchStore(Protocol):
    """Keeps where the groups stand. Implementations: SQLite and memory, one conformance suite."""

    def ensure_groups(self, names: Iterable[str]) -> None:
        """Make the groups known, new ones at stage `legacy` and epoch 0."""

    def group(self, name: str) -> GroupState | None:
        """Return where the group stands, or None when it is unknown."""

    def groups(self) -> Sequence[GroupState]:
        """Return every known group."""

    def switch(
        self,
        group: str,
        to: Stage,
        *,
        expected_epoch: int,
        warrant: Warrant,
        share_percent: float = 0.0,
    ) -> Switch:
        """Move the group to stage `to` under epoch `expected_epoch + 1`.

        `share_percent` belongs to `canary`. Epoch, history row and the entry for the event log are
        one durable commit.

        Raises:
            StaleEpoch: the group is not at `expected_epoch`: somebody switched first.
            StorageUnavailable: nothing was changed.
        """

    def hold_lanes(self, group: str, *, held: bool, warrant: Warrant) -> GroupState:
        """Hold or resume replay to the other side; recorded in the event log like a switch."""

    def force(self, group: str, until: float, draft: EntryDraft) -> GroupState:
        """Have tokens that force a side looked at until `until` (seconds from 1970), or longer.

        The entry that tells of the token is in the same commit.
        """

    def tell(self, draft: EntryDraft) -> None:
        """Leave an entry for the event log that stands for itself, such as of a refused switch."""

    def history(self) -> Sequence[SwitchRecord]:
        """Return every switch, oldest first."""


class SlotView(NamedTuple):
    """A live replica, as the generation file shows it."""

    slot: int
    owner: str
    adopted: int
    """The generation whose tables it decides by."""
    heartbeat_age_s: float


class AdoptionBoard(Protocol):
    """Tells the replicas of this machine that something changed, and hears that they follow."""

    def bump(self) -> int:
        """Begin a new generation and return its number."""

    def live_slots(self) -> Sequence[SlotView]:
        """Return the replicas that are alive now."""
