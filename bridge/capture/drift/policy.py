"""What a deployment wants to become of a table whose shape changed. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class DriftAction(Enum):
    """What a setting asks for when a table leaves its contract."""

    CONTINUE = "continue"  # Map what can be mapped; rows that break are parked one by one.
    PARK = "park"  # Park every row until a person accepts; what still fits flows on.
    STOP = "stop"  # End capture with a clear error, before the first affected row.


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftPolicy:
    """What becomes of a table whose shape changed."""

    action: DriftAction = DriftAction.PARK
    tables: Mapping[str, DriftAction] = field(default_factory=dict)
    """Overrides by `schema.table`."""
    keep_unmapped: bool = False
    """Whether parked rows also hold columns that no contract maps or drops."""

    def of(self, table: str) -> DriftAction:
        """Return what is asked for when `table` leaves its contract."""
        return self.tables.get(table, self.action)
