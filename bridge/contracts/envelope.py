"""The CloudEvents envelope around an event's data, written as text for speed."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from bridge.contracts.mapping import TableMapping
from bridge.contracts.names import data_schema_urn, routing_key, source_urn
from bridge.model.change import BeforeImage, ChangeKind
from bridge.model.event import ChangeOrigin


class Frame(NamedTuple):
    """The constant parts of an envelope of one kind and before image."""

    type: str
    routing_key: str
    before_time: str
    after_recorded_time: str
    tail: str


def frames(mapping: TableMapping, type_prefix: str, image: BeforeImage) -> dict[ChangeKind, Frame]:
    """Return the frames of all kinds of change for one before image."""
    return {kind: _frame(mapping, kind, type_prefix, image) for kind in ChangeKind}


def _frame(mapping: TableMapping, kind: ChangeKind, type_prefix: str, image: BeforeImage) -> Frame:
    key = routing_key(mapping.subject, mapping.version, kind)
    event_type = f"{type_prefix}.{key}"
    return Frame(
        event_type,
        key,
        f',"source":"{source_urn(mapping.source)}","type":"{event_type}","time":"',
        '","datacontenttype":"application/json","dataschema":"'
        f'{data_schema_urn(mapping.subject, mapping.version)}","sequence":"',
        f'","beforeimage":"{image.value}"',
    )


class Envelope:
    """Writes payloads; remembers the text of the latest time. One thread uses it."""

    def __init__(self) -> None:
        self._time: datetime | None = None
        self._time_text = ""

    def payload(
        self, frame: Frame, origin: ChangeOrigin, key: str | None, data: dict[str, Any]
    ) -> bytes:
        """Return the event's bytes; raises `TypeError` for what JSON cannot hold."""
        if origin.time is not self._time:  # All changes of a transaction share one object.
            self._time_text = _utc_text(origin.time)
            self._time = origin.time
        head = (
            f'{{"specversion":"1.0","id":"{origin.event_id}"{frame.before_time}{self._time_text}'
            f'","recordedtime":"{origin.recorded_time}{frame.after_recorded_time}'
            f"{origin.sequence}{frame.tail}"
        ).encode()
        if key is None:
            return b'%b,"data":%b}' % (head, orjson.dumps(data))
        return b'%b,"partitionkey":%b,"data":%b}' % (head, orjson.dumps(key), orjson.dumps(data))


def _utc_text(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def plain(value: Any) -> Any:
    """Return `value` with everything that JSON cannot hold written as escaped text."""
    if isinstance(value, dict):
        return {name: plain(below) for name, below in value.items()}
    if isinstance(value, list):
        return [plain(below) for below in value]
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, orjson.Fragment):
        return value
    return value if value is None or isinstance(value, bool | float) else str(value)
