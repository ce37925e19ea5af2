"""Groups whose authority has every write, so that their reads need not ask about single keys.

After a switch the keys with writes still on their way to the new authority are read where these
are. That ends: once nothing of a group is on its way to the authority, and nothing without an
outcome may still become so, no write of the same epoch goes anywhere else (see `DualWriter`). From
then on a read goes straight on, and costs no look into the journal.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bridge.gateway.dual.ports import Behind
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.table import AUTHORITY
from bridge.model.stage import Side

# What was sent before the switch and has no intent in the journal (level L1) is recorded when it is
# answered: twice the time that a route gives a write by default, and far above any replica's lease.
SETTLES_S: Final = 60.0
# One look in a second costs nothing, also where a write in doubt keeps a group from being quiet.
_LOOK_AGAIN_S: Final = 1.0


class Groups(Protocol):
    """The write journal, as far as whole groups are asked about."""

    def behind(self, group: str, side: Side) -> Behind:
        """Return whether `side` may lack writes of any lane of the group now."""


@dataclass(slots=True)
class _Known:
    epoch: int
    look_at: float
    quiet: bool = False


class QuietGroups:
    """What one worker knows; belongs to its event loop."""

    def __init__(self, journal: Groups, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._clock = clock
        self._known: dict[str, _Known] = {}
        """One for each group of the route files."""

    def is_quiet(self, decision: Decision) -> bool:
        """Whether the side of `decision` has every write of its group, until the next switch.

        Raises:
            StorageUnavailable: the journal cannot be read.
        """
        if decision.authority is not AUTHORITY[decision.stage]:
            return False  # Writes are on their way to the other side all the time.
        group = decision.route.group
        known = self._known.get(group)
        if known is None or known.epoch != decision.epoch:
            self._known[group] = _Known(decision.epoch, self._clock() + SETTLES_S)
            return False
        if known.quiet:
            return True
        now = self._clock()
        if now < known.look_at:
            return False
        known.look_at = now + _LOOK_AGAIN_S
        behind = self._journal.behind(group, decision.authority)
        known.quiet = not (behind.unreplayed or behind.open)
        return known.quiet
