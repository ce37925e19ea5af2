"""What a contract takes out of an event because it is a person's, and what stands in its place."""

from collections.abc import Mapping
from typing import Any, NamedTuple


class Portion(NamedTuple):
    """The values of one event that belong to one person under one class of records."""

    kind: str
    """What kind of person it is, e.g. `customer`."""
    value: str
    """What names the person among its kind: the text of a published field."""
    record_class: str
    """Which retention rule holds for the values, e.g. `customer-data`."""
    values: Mapping[str, Any]
    """JSON values by JSON Pointer into the event's `data`."""


class SealedMark(NamedTuple):
    """What a leaf says of one sealed portion."""

    commit: str
    """SHA-256 of the plaintext, lower-case hex."""
    key_id: str
    subject: str
    """Pseudonym of the person."""

    def as_json(self) -> dict[str, str]:
        """Return what stands in `fields.sealed` of the leaf."""
        return {"commit": self.commit, "key": self.key_id, "subject": self.subject}


class Sealed(NamedTuple):
    """An event's sealed portions."""

    attributes: bytes
    """CloudEvents attributes that hold them, as JSON text that begins with a comma."""
    marks: tuple[SealedMark, ...]
