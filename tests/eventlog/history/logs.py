"""Logs to search: drafts as capture writes them, with the fields that matter here."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from bridge.eventlog.records.action_record import log_time
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.search_role import Role

URN = "urn:legacy-bridge:contract:{}:1.0"
ORDER, PAYMENT = "shop.order", "shop.payment"
FIELDS = {
    URN.format(ORDER): (
        ("ordered_at", Role.DATE),
        ("total", Role.AMOUNT),
        ("customer_name", Role.COUNTERPARTY),
    ),
    URN.format(PAYMENT): (("amount", Role.AMOUNT), ("paid_at", Role.DATE)),
}
START = datetime(2026, 1, 1, tzinfo=UTC)


def key_text(key: Mapping[str, Any]) -> str:
    return orjson.dumps(key).decode()


def event(
    number: int,
    subject: str,
    op: str,
    data: Mapping[str, Any],
    *,
    second: int | None = None,
    recorded: int | None = None,
    kind: EntryKind = EntryKind.EVENT,
    **more: Any,
) -> EntryDraft:
    """Return an entry about a row, `second` seconds after the start, recorded somewhat later."""
    time = log_time(START + timedelta(seconds=number if second is None else second))
    recorded_time = log_time(START + timedelta(seconds=number if recorded is None else recorded))
    event_id = f"shop:{number:016X}:00000000"
    fields: dict[str, Any] = {
        "source": "urn:legacy-bridge:shop",
        "dataschema": URN.format(subject),
        "time": time,
        "recordedtime": recorded_time,
        "legacy": {"table": f"public.{subject}", "op": op, "xid": number, "lsn": f"0/{number:X}"},
        **more,
    }
    if kind is EntryKind.EVENT:
        fields["type"] = f"com.example.{subject}.{op}.v1"
    key = data.get("key")
    return EntryDraft(
        kind,
        event_id,
        fields,
        orjson.dumps({"specversion": "1.0", "id": event_id, "data": data}),
        f"{subject}.{op}.v1",
        None if key is None else key_text(key),
    )


def row_event(
    number: int,
    op: str,
    key: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    unavailable: Sequence[str] = (),
    subject: str = ORDER,
    **more: Any,
) -> EntryDraft:
    """Return an event of a row; what is not given is not in it."""
    data: dict[str, Any] = {"key": key}
    if after is not None:
        data["after"] = after
    if before is not None:
        data["before"] = before
    if unavailable:
        data["unavailable"] = list(unavailable)
    return event(number, subject, op, data, **more)
