"""Events to publish, and what must be true of them when they arrive."""

import json
import random
from collections.abc import Sequence
from typing import NamedTuple

from bridge.eventlog.ports import EventLogReader, EventLogWriter
from bridge.model.entry import EntryDraft, EntryKind, StoredEntry

ROUTING_KEY = "shop.order.updated.v1"


class Delivered(NamedTuple):
    """A message as a consumer finds it in a queue."""

    event_id: str
    leaf_index: int
    key: str | None
    body: bytes


def event_id(number: int) -> str:
    return f"shop:{0x16B374D848:016X}:{number:08X}"


def stored_event(
    index: int, *, key: str | None = '{"order_id":7}', routing_key: str = ROUTING_KEY
) -> StoredEntry:
    """Return an entry as the log would hand it to the relay."""
    return StoredEntry(
        leaf_index=index,
        kind=EntryKind.EVENT,
        entry_id=event_id(index),
        routing_key=routing_key,
        partition_key=key,
        leaf=b"{}",
        payload=json.dumps({"id": event_id(index), "data": {"pad": "x" * 200}}).encode(),
    )


def drafts(
    start: int, count: int, *, keys: int = 20, parked_each: int = 0, seed: int = 1
) -> list[EntryDraft]:
    """Return entries over `keys` keys in a seeded order, every `parked_each`-th of kind parked."""
    chance = random.Random(seed * 1_000_003 + start)
    made = []
    for number in range(start, start + count):
        parked = parked_each > 0 and number % parked_each == 0
        made.append(
            EntryDraft(
                kind=EntryKind.PARKED if parked else EntryKind.EVENT,
                entry_id=event_id(number),
                fields={"source": "shop", "type": f"com.example.{ROUTING_KEY}"},
                payload=json.dumps({"id": event_id(number), "data": {"pad": "x" * 200}}).encode(),
                routing_key=None if parked else ROUTING_KEY,
                partition_key=json.dumps({"order_id": chance.randrange(keys)}),
            )
        )
    return made


def append(log: EventLogWriter, made: Sequence[EntryDraft], *, batch: int = 500) -> None:
    """Append in batches, as capture does."""
    for start in range(0, len(made), batch):
        log.append(made[start : start + batch])


def events_of(log: EventLogReader) -> list[StoredEntry]:
    """Return every entry that the relay has to publish."""
    entries = log.read(0, log.head().size)
    return [entry for entry in entries if entry.kind is EntryKind.EVENT]


def assert_nothing_lost(log: EventLogReader, delivered: Sequence[Delivered]) -> None:
    """Check that each event arrived at least once, byte for byte, and nothing else did."""
    wanted = {entry.entry_id: entry for entry in events_of(log)}
    found = {message.event_id for message in delivered}
    lost = wanted.keys() - found
    assert not lost, f"{len(lost)} of {len(wanted)} events lost, first {min(lost)}"
    assert found <= wanted.keys()
    for message in delivered:
        entry = wanted[message.event_id]
        assert message.body == entry.payload
        assert (message.leaf_index, message.key) == (entry.leaf_index, entry.partition_key)


def overtaken(delivered: Sequence[Delivered]) -> int:
    """Count first arrivals that came after a later event of the same key."""
    highest: dict[str | None, int] = {}
    count = 0
    seen = set()
    for message in delivered:
        if message.event_id in seen:
            continue
        seen.add(message.event_id)
        if message.leaf_index < highest.get(message.key, -1):
            count += 1
        highest[message.key] = max(message.leaf_index, highest.get(message.key, -1))
    return count


def assert_in_order(delivered: Sequence[Delivered]) -> None:
    """Check that the first arrivals of each key came in the order of the log."""
    assert overtaken(delivered) == 0
