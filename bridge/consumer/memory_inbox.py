"""An inbox in memory, for tests of handlers: the twin of those in databases."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

from bridge.consumer.event import ReceivedEvent
from bridge.consumer.window import RETENTION_LEAVES_DEFAULT, moved_window

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
        new = []
        for event in events:
            if (event.source, event.id) not in seen:
                seen[event.source, event.id] = event.leaf_index
                handle(event, tables)
                new.append(event)
        oldest = moved_window(new, self.oldest(group), self._retention_leaves)
        if oldest is not None:
            seen = {name: leaf for name, leaf in seen.items() if leaf >= oldest}
            self._oldest[group] = oldest
        self._seen[group] = seen
        self.tables = tables
        return len(new)

    def oldest(self, group: str) -> int:
        """See `Inbox.oldest`."""
        return self._oldest.get(group, 0)

    def close(self) -> None:
        """See `Inbox.close`."""
