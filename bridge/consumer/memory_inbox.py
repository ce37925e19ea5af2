"""An inbox in memory, for tests of handlers: the twin of those in databases."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from bridge.consumer.event import ReceivedEvent
from bridge.consumer.ports import RETENTION_LEAVES_DEFAULT

Tables = dict[str, Any]


class MemoryInbox:
    """Gives handlers a dictionary as their transaction; it is copied, so a roll back is true."""

    def __init__(self, *, retention_leaves: int = RETENTION_LEAVES_DEFAULT) -> None:
        """Remember the newest `retention_leaves` entries of the log."""
        self.tables: Tables = {}
        """What the handlers have committed."""
        self._retention_leaves = retention_leaves
        self._seen: dict[str, dict[tuple[str, str], int]] = {}
        self._oldest: dict[str, int] = {}

    def apply(
        self,
        group: str,
        events: Sequence[ReceivedEvent],
        handle: Callable[[ReceivedEvent, Tables], None],
    ) -> int:
        """See `Inbox.apply`."""
        seen = dict(self._seen.get(group, {}))
        tables = copy.deepcopy(self.tables)
        applied = 0
        for event in events:
            if (event.source, event.id) in seen:
                continue
            seen[event.source, event.id] = event.leaf_index
            handle(event, tables)
            applied += 1
        oldest = max([self.oldest(group), max(seen.values(), default=0) - self._retention_leaves])
        self._seen[group] = {name: leaf for name, leaf in seen.items() if leaf >= oldest}
        self._oldest[group] = oldest
        self.tables = tables
        return applied

    def oldest(self, group: str) -> int:
        """See `Inbox.oldest`."""
        return self._oldest.get(group, 0)

    def close(self) -> None:
        """See `Inbox.close`."""
