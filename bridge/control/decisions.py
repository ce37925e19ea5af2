"""What a person decides about dual writes: the one path for command line and API alike.

A decision that is refused leaves an entry in the event log as one that is carried out.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from bridge.control.names import group_named, write_named
from bridge.eventlog.records.attempt import refusals_told
from bridge.gateway.dual.ports import WriteDesk
from bridge.model.entry import EntryKind
from bridge.model.stage import GroupState
from bridge.model.warrant import Warrant
from bridge.model.write import WriteState


class WriteDecisions:
    """Decides about the writes of one desk.

    Raises `NotKnown` where nothing has the name, and what `WriteDesk` raises.
    """

    def __init__(self, desk: WriteDesk, groups: Callable[[], Sequence[GroupState]]) -> None:
        self._desk = desk
        self._groups = groups

    def resolve(
        self,
        intent_id: str,
        outcome: WriteState,
        warrant: Warrant,
        *,
        ids: Mapping[str, str] | None = None,
    ) -> None:
        """Say how a write in doubt ended; see `WriteDesk.resolve`."""
        with self._told("write-resolve", intent_id, warrant):
            write_named(intent_id, self._desk)
            self._desk.resolve(intent_id, outcome, warrant=warrant, ids=ids)

    def replay(self, intent_id: str, warrant: Warrant) -> None:
        """Try a parked write once more."""
        with self._told("write-replay", intent_id, warrant):
            write_named(intent_id, self._desk)
            self._desk.replay(intent_id, warrant)

    def skip(self, intent_id: str, warrant: Warrant) -> None:
        """Let the other side go on without a parked write."""
        with self._told("write-skip", intent_id, warrant):
            write_named(intent_id, self._desk)
            self._desk.skip(intent_id, warrant)

    def import_ids(
        self, group: str, entity: str, pairs: Sequence[tuple[str, str]], warrant: Warrant
    ) -> int:
        """Record known (legacy id, modern id) pairs; return how many were new."""
        known = any(state.group == group for state in self._groups())
        fields = {"group": group} if known else {}
        with refusals_told(
            self._desk.tell, EntryKind.DUALWRITE, "ids-import", warrant, fields=fields
        ):
            group_named(group, self._groups())
            return self._desk.import_ids(group, entity, pairs, warrant)

    def _told(self, action: str, intent_id: str, warrant: Warrant) -> AbstractContextManager[None]:
        # What is no intent of ours may be anything that somebody typed.
        known = self._desk.show(intent_id)
        fields = {} if known is None else {"intent": intent_id, "from": known.state.value}
        return refusals_told(self._desk.tell, EntryKind.DUALWRITE, action, warrant, fields=fields)
