"""A small log of a shop: events of two contracts, a parked one, one of a person, an action."""

import base64
import json
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from bridge.eventlog.exporting.ports import Opened, SealedEntry
from bridge.model.entry import EntryDraft, EntryKind
from bridge.runtime.wiring.exports import contract_files
from bridge.storage.event_log.memory import MemoryEventLog

CONTRACTS = contract_files(Path(__file__).parents[3] / "contracts")
URN = "urn:legacy-bridge:contract:"
TIME = "2026-11-21T15:30:0{}.25Z"

# Half an hour after midnight in Tokyo, which is the next day.
LOCAL_TIME = "2026-11-22 00:30:0{}"

NOTES = (
    None,
    "",
    "plain",
    '=HYPERLINK("http://example.com";"x")',
    "+81-3-1234-5678",
    "-12.50",
    "@SUM(A1:A9)",
    "\t=1",
    '1,5 "quoted"\r\nsecond line',
    "＝全角",  # noqa: RUF001 - Full width is meant.
    "日本語の備考",
    "x" * 40_000,
)

PLAINTEXT = b"r" * 32 + json.dumps({"/after/note": "a person's secret"}).encode()


def order(number: int, note: str | None, **changed: Any) -> dict[str, Any]:
    """Return the data of an order."""
    row = {
        "order_id": 100_000 + number,
        "customer_id": 7,
        "client_ref": f"web-{number}",
        "status": "open",
        "ordered_at": "2024-12-01T10:11:12.345678",
        "shipped_at": None,
        "total": f"{number}5600.10",
        "gift": number % 2 == 0,
        "note": note,
        "changed_at": "2024-12-01T10:11:12",
        **changed,
    }
    return {"key": {"order_id": 100_000 + number}, "after": row}


def event(
    number: int, subject: str, data: Any, *, kind: EntryKind = EntryKind.EVENT, **fields: Any
) -> EntryDraft:
    """Return an event of `subject`."""
    time = TIME.format(number % 10)
    payload = {
        "specversion": "1.0", "id": f"shop:{number}", "time": time, "recordedtime": time,
        "dataschema": f"{URN}{subject}:1.0", "sequence": f"{number:016}", "data": data,
    }  # fmt: skip
    return EntryDraft(
        kind=kind,
        entry_id=f"shop:{number}",
        fields={
            "source": "shop", "type": f"com.example.{subject}.updated.v1", "time": time,
            "recordedtime": time, "dataschema": f"{URN}{subject}:1.0",
            "legacy": {"table": "public.t_ord_hdr", "op": "update", "lsn": "0/16"}, **fields,
        },
        payload=json.dumps(payload, ensure_ascii=False).encode(),
        entity="f00",
    )  # fmt: skip


def shop_log() -> MemoryEventLog:
    """Return the log."""
    log = MemoryEventLog()
    log.append(
        [event(number, "shop.order", order(number, note)) for number, note in enumerate(NOTES)]
    )
    odd = order(50, "odd", total=12.5, order_id="not a number", colour="red")
    log.append(
        [
            event(50, "shop.order", odd, kind=EntryKind.PARKED, reason="/after/total: not a text"),
            event(
                51, "shop.unknown", {"amount": 1.10, "big": 12345678901234567890, "deep": {"a": 1}}
            ),
            EntryDraft(
                kind=EntryKind.ROUTE,
                entry_id="route:1",
                fields={"action": "switch", "outcome": "done", "time": TIME.format(1)},
                payload=b'{"action":"switch","reason":"go-live","from":"legacy","to":"shadow"}',
            ),
            sealed_event(60),
        ]
    )
    return log


def sealed_event(number: int) -> EntryDraft:
    """Return an event whose note is sealed."""
    data = order(number, None)
    del data["after"]["note"]
    mark = {"commit": sha256(PLAINTEXT).hexdigest(), "key": "k1", "subject": "p1"}
    draft = event(number, "shop.order", data, sealed=[mark])
    payload = {
        **json.loads(draft.payload),
        "sealed": "k1." + base64.urlsafe_b64encode(b"x").decode(),
    }
    return draft._replace(payload=json.dumps(payload).encode())


class StandInOpener:
    """Opens the one sealed item that `sealed_event` has."""

    def open(self, entries: Sequence[SealedEntry]) -> Sequence[Opened]:
        return [Opened(entry.leaf_index, 0, PLAINTEXT) for entry in entries]
