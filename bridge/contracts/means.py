"""What mapping a table needs beside the mapping's text: keys, and values that were seen before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from bridge.contracts.protection import ProtectionKeys
from bridge.model.event import Breach, Event
from bridge.model.pseudonym import Pseudonyms
from bridge.model.sealing import Portion, Sealed

if TYPE_CHECKING:
    from bridge.contracts.mapping import TableMapping


class LastKnown(Protocol):
    """The last values of rows, as the events of one source told them."""

    def learn(self, mapping: "TableMapping") -> None:
        """Take in how a table is mapped; called when a mapper is made."""

    def find(self, table: str, schema: str, key: str) -> Mapping[str, bytes]:
        """Return the remembered fields of a row as JSON texts; empty when nothing is known.

        `schema` is the `dataschema` of who asks, `key` the JSON text of the entity's key.
        """

    def stage(self, table: str, mapped: Event | Breach) -> None:
        """Take note of a mapped change of `table`: the next one may need its values."""


class Sealer(Protocol):
    """Seals persons' fields, each under a key of that person."""

    def seal(self, event_id: str, time: datetime, portions: Sequence[Portion]) -> Sealed:
        """Return what stands in the event for `portions`; `time` is when it happened.

        Raises `TypeError` for values that JSON cannot hold, `StorageUnavailable` without keys.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """Given to all mappings of a deployment when its contracts are loaded."""

    protection: ProtectionKeys | None = field(default=None, repr=False)
    last_known: LastKnown | None = None
    pseudonyms: Pseudonyms | None = field(default=None, repr=False)
    """How entries name their entity; None names none."""
    sealer: Sealer | None = field(default=None, repr=False)
    """What seals the fields of persons; events with such fields are not made without."""
    unsealed: bool = False
    """Whether persons' fields stay as they are: only for events that are never logged."""
