"""Messages of the broker → events that a handler can trust. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson

from bridge.contracts import ContractSet
from bridge.contracts.names import parse_data_schema_urn, routing_key
from bridge.model.change import ChangeKind

HEADER_LEAF: Final = "lb-leaf"
HEADER_REPLAY: Final = "x-lb-replay"

# Ours have 25; it becomes part of a name in the inbox.
_REPLAY_CHARACTERS_MAX: Final = 100

# A deployment has tens of contracts with five kinds each.
_KNOWN_TYPES_MAX: Final = 10_000


class ReceivedEvent(NamedTuple):
    """An event that fits its contract, as a handler gets it."""

    id: str
    """The same for every duplicate of the event."""
    source: str
    type: str
    subject: str
    version: str
    kind: ChangeKind
    key: Mapping[str, Any] | None
    """The entity's key fields, or None for a table without a key."""
    data: Mapping[str, Any]
    """`key`, and as the kind has them `after`, `before`, `unavailable`."""
    time: datetime
    """When the legacy transaction committed (UTC)."""
    sequence: str
    """Sorts in commit order within the source."""
    leaf_index: int
    """Its place in the event log."""
    redelivered: bool
    """Whether the broker says that it was delivered before; a hint, not the truth."""
    erased: tuple[str, ...] = ()
    """JSON Pointers into `data` of a person's fields that nobody can read any more: they are
    missing, and what a read model has of them is to be removed."""
    replay: str | None = None
    """Which replay sent it again (`log replay`); None for what the relay published."""


class Unreadable(NamedTuple):
    """Why a message is not an event that may be handled; names paths and rules, no values."""

    reason: str


class OwnEvent(NamedTuple):
    """What Legacy Bridge tells about a source (drift, alarms, messages): not about a row."""

    type: str


class _KnownType(NamedTuple):
    subject: str
    version: str
    kind: ChangeKind


class EventReader:
    """Checks envelope, contract and data of messages."""

    def __init__(self, contracts: ContractSet) -> None:
        self._contracts = contracts
        self._types: dict[tuple[str, str], _KnownType | None] = {}

    def read(
        self,
        body: bytes,
        headers: Mapping[str, Any] | None,
        *,
        message_id: str | None,
        redelivered: bool,
    ) -> ReceivedEvent | OwnEvent | Unreadable:
        """Return the event in `body`, or why there is none."""
        try:
            envelope = orjson.loads(body)
            event_id, event_type = envelope["id"], envelope["type"]
            source, sequence, data = envelope["source"], envelope["sequence"], envelope["data"]
            known = self._known_type(event_type, envelope["dataschema"])
            if envelope["specversion"] != "1.0":
                return Unreadable("envelope: specversion is not '1.0'")
            time = datetime.fromisoformat(envelope["time"])
        except KeyError as exc:
            return Unreadable(f"envelope: attribute {exc.args[0]!r} is missing")
        except (ValueError, TypeError):
            return Unreadable("envelope: not a CloudEvent in JSON with texts for attributes")
        if not (isinstance(event_id, str) and isinstance(source, str) and event_id and source):
            return Unreadable("envelope: attributes 'id' and 'source' must be texts")
        if message_id is not None and message_id != event_id:
            return Unreadable("envelope: attribute 'id' differs from the message id")
        if known is None and _is_own(event_type, envelope["dataschema"]):
            return OwnEvent(event_type)
        if known is None:
            return Unreadable("envelope: attributes 'type' and 'dataschema' do not agree")
        leaf_index = (headers or {}).get(HEADER_LEAF)
        if not isinstance(leaf_index, int) or leaf_index < 0:
            return Unreadable(f"header {HEADER_LEAF!r} with the place in the log is missing")
        erased = _erased(envelope)
        reason = self._contracts.validate(data, known.subject, known.version, erased)
        if reason is not None:
            return Unreadable(f"data of {known.subject!r} version {known.version}: {reason}")
        return ReceivedEvent(
            event_id,
            source,
            event_type,
            known.subject,
            known.version,
            known.kind,
            data["key"],
            data,
            time,
            str(sequence),
            leaf_index,
            redelivered,
            erased,
            _replay(headers),
        )

    def _known_type(self, event_type: Any, data_schema: Any) -> _KnownType | None:
        """Return what both attributes say, or None when they do not agree."""
        names = (event_type, data_schema)
        try:
            return self._types[names]
        except KeyError:
            if len(self._types) >= _KNOWN_TYPES_MAX:
                self._types.clear()
            known = self._types[names] = _parse_type(event_type, data_schema)
            return known


def _replay(headers: Mapping[str, Any] | None) -> str | None:
    found = (headers or {}).get(HEADER_REPLAY)
    return found if isinstance(found, str) and 0 < len(found) <= _REPLAY_CHARACTERS_MAX else None


def _erased(envelope: Mapping[str, Any]) -> tuple[str, ...]:
    said = envelope.get("erased")
    return tuple(said.split(" ")) if isinstance(said, str) and said else ()


def _parse_type(event_type: object, data_schema: object) -> _KnownType | None:
    if not isinstance(event_type, str) or not isinstance(data_schema, str):
        return None
    contract = parse_data_schema_urn(data_schema)
    if contract is None:
        return None
    for kind in ChangeKind:
        if event_type.endswith("." + routing_key(*contract, kind)):
            return _KnownType(*contract, kind)
    return None


def _is_own(event_type: object, data_schema: object) -> bool:
    """Whether the type is `PREFIX.bridge.SOURCE.WHAT.v1` and the contract `bridge.WHAT`."""
    if not isinstance(event_type, str) or not isinstance(data_schema, str):
        return False
    contract = parse_data_schema_urn(data_schema)
    if contract is None or not contract[0].startswith("bridge."):
        return False
    what, major = contract[0].removeprefix("bridge."), contract[1].partition(".")[0]
    words = event_type.split(".")
    return words[-4:-3] == ["bridge"] and words[-2:] == [what, f"v{major}"]
