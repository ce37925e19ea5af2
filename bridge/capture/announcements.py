"""Events of our own about a source, for its consumers: alarms, gaps.

CloudEvents like all others, under the subject `bridge.SOURCE` and contracts that come with the
product (`urn:legacy-bridge:contract:bridge.WORD:1.0`); consumers that bind to tables never see
them. Ids are given by the caller and deterministic.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.contracts.names import data_schema_urn, source_urn
from bridge.model.entry import EntryDraft, EntryKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Announcer:
    """Writes the events of one source."""

    source: str
    type_prefix: str = "com.example"

    def routing_key(self, word: str) -> str:
        """Return `bridge.SOURCE.WORD.v1`; words of a routing key have no underscores."""
        return f"bridge.{self.source.replace('_', '-')}.{word}.v1"

    def announce(
        self, word: str, *, event_id: str, time: str, recorded_time: str, data: Mapping[str, Any]
    ) -> EntryDraft:
        """Return the event `word` (`wal-guard`, `gap`) of version 1; times are RFC 3339 in UTC."""
        key = self.routing_key(word)
        event_type = f"{self.type_prefix}.{key}"
        schema = data_schema_urn(f"bridge.{word}", "1.0")
        envelope = {
            "specversion": "1.0",
            "id": event_id,
            "source": source_urn(self.source),
            "type": event_type,
            "subject": f"bridge.{self.source}",
            "time": time,
            "recordedtime": recorded_time,
            "datacontenttype": "application/json",
            "dataschema": schema,
            "sequence": event_id.partition(":")[2],
            "data": data,
        }
        fields = {
            "source": source_urn(self.source),
            "type": event_type,
            "dataschema": schema,
            "time": time,
            "recordedtime": recorded_time,
        }
        payload = json.dumps(envelope, separators=(",", ":"), ensure_ascii=False).encode()
        return EntryDraft(EntryKind.EVENT, event_id, fields, payload, key, None)
