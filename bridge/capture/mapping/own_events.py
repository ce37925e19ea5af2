"""Events that Legacy Bridge itself has to tell, beside those of rows. Pure.

Their routing key is `bridge.SOURCE.WHAT.v1`, their contract `bridge.WHAT`. Ids are deterministic:
what stands in the stream is numbered by its place there, so that a repeat after a crash is the
same entry.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from bridge.contracts.names import data_schema_urn, source_urn
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.warrant import GATEWAY

VERSION: Final = "1.0"


class Envelope(NamedTuple):
    """What an event of ours says beside its data."""

    event_id: str
    sequence: str | None
    """Its place in the stream; None for what was seen beside the stream."""
    time: str
    """When it happened at the source, RFC 3339 in UTC."""
    recorded_time: str
    key: str | None = None
    """Partition key: what it is about."""


_OURSELVES: Final = GATEWAY.as_json()


class OwnEvents:
    """Makes the events of one source."""

    def __init__(self, source: str, type_prefix: str) -> None:
        self._source = source
        self._type_prefix = type_prefix

    def routing_key(self, what: str) -> str:
        """Return `bridge.SOURCE.WHAT.v1`; words of a routing key have no underscores."""
        return f"bridge.{self._source.replace('_', '-')}.{what}.v1"

    def event(
        self,
        what: str,
        envelope: Envelope,
        data: Mapping[str, Any],
        *,
        fields: Mapping[str, Any],
        attributes: bytes = b"",
    ) -> EntryDraft:
        """Return an event that goes to partners; `fields` are for its leaf."""
        routing_key = self.routing_key(what)
        told = self._told(what, envelope, fields)
        told["type"] = f"{self._type_prefix}.{routing_key}"
        return EntryDraft(
            EntryKind.EVENT,
            envelope.event_id,
            told,
            self.payload(what, envelope, data, attributes),
            routing_key,
            envelope.key,
        )

    def parked(
        self,
        what: str,
        envelope: Envelope,
        data: Mapping[str, Any],
        *,
        reason: str,
        fields: Mapping[str, Any],
    ) -> EntryDraft:
        """Return what is kept aside for a person, with its `reason`."""
        told = self._told(what, envelope, fields)
        told["reason"] = reason
        payload = self.payload(what, envelope, data)
        return EntryDraft(EntryKind.PARKED, envelope.event_id, told, payload, None, envelope.key)

    def payload(
        self, what: str, envelope: Envelope, data: Mapping[str, Any], attributes: bytes = b""
    ) -> bytes:
        """Return the CloudEvent in its structured JSON form, on one line."""
        tree = {
            "specversion": "1.0",
            "id": envelope.event_id,
            "source": source_urn(self._source),
            "type": f"{self._type_prefix}.{self.routing_key(what)}",
            "subject": f"bridge.{self._source}",
            "time": envelope.time,
            "recordedtime": envelope.recorded_time,
            "datacontenttype": "application/json",
            "dataschema": data_schema_urn(f"bridge.{what}", VERSION),
        }
        if envelope.sequence is not None:
            tree["sequence"] = envelope.sequence
        if envelope.key is not None:
            tree["partitionkey"] = envelope.key
        return b'%b%b,"data":%b}' % (orjson.dumps(tree)[:-1], attributes, orjson.dumps(data))

    def _told(self, what: str, envelope: Envelope, fields: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "source": source_urn(self._source),
            "dataschema": data_schema_urn(f"bridge.{what}", VERSION),
            "time": envelope.time,
            "recordedtime": envelope.recorded_time,
            "actor": _OURSELVES,
            **fields,
        }
