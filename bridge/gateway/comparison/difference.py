"""What a comparison of two answers finds."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

FindOtherId: TypeAlias = Callable[[str, str], str | None]
"""(entity, id on the authority) → id on the other side, or None when the map has none."""


class DifferenceKind(Enum):
    """How the other side's answer differs at a place."""

    STATUS = "status"  # Another status, and no rule says that the two mean the same.
    MISSING = "missing"  # The authority has it, the other side does not.
    EXTRA = "extra"  # The other side has it, the authority does not.
    VALUE = "value"  # Same type, another value.
    TYPE = "type"  # A number for a text, an object for a list …
    LENGTH = "length"  # Lists of different length.
    ORDER = "order"  # The same items, elsewhere in the list.
    ID = "id"  # An id whose pair is another one, or not known.
    KEY = "key"  # Items of a keyed list that lack their key, or share it.
    FORM = "form"  # One body can be read as what it says it is, the other cannot.
    BYTES = "bytes"  # Bodies that are compared as bytes.
    DEPTH = "depth"  # Different, below the depth that is looked into.


class Outcome(Enum):
    """How two answers relate."""

    IDENTICAL = "identical"  # Status, counted headers and body are equal byte for byte.
    EQUAL = "equal"  # Other bytes, same meaning: order of members, spelling of numbers …
    BY_RULES = "by-rules"  # Different, and rules hide every difference.
    MISMATCH = "mismatch"  # Different.


class Difference(NamedTuple):
    """One place where two answers differ."""

    field: str
    """The place with `*` for items and for members that look like ids: what is counted by."""
    kind: DifferenceKind
    place: str
    """The exact place (RFC 6901 in a body); it may hold a value as a member's name."""
    authority: object = None
    """The authority's value; None where it has none. Never shown without redaction."""
    other: object = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """How two answers relate, and where they differ."""

    outcome: Outcome
    differences: tuple[Difference, ...] = ()
    more: int = 0
    """Differences beyond those told apart."""
    hidden: tuple[tuple[str, int], ...] = ()
    """Rule name → differences that it hid."""

    @property
    def equal(self) -> bool:
        """Whether no difference is left."""
        return self.outcome is not Outcome.MISMATCH

    @property
    def fields(self) -> frozenset[str]:
        """The places that differ, as they are counted."""
        return frozenset(found.field for found in self.differences)
