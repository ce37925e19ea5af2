"""Values for tests of the write journal."""

from datetime import UTC, datetime
from itertools import count
from typing import Any, NamedTuple

from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side
from bridge.model.write import MadeId, WriteIntent, WriteState
from bridge.storage.journal.memory import MemoryJournal
from bridge.storage.journal.memory_desk import MemoryJournalDesk
from bridge.storage.journal.postgres import PostgresJournal
from bridge.storage.journal.postgres_desk import PostgresJournalDesk
from bridge.storage.journal.sqlite import SqliteJournal
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk

_numbers = count(1)


def an_intent(**changes: Any) -> WriteIntent:
    """Return a new intent in group `orders`, epoch 0, with `changes`."""
    number = next(_numbers)
    values: dict[str, Any] = {
        "intent_id": f"intent{number:06d}",
        "group": "orders",
        "route": "order-status",
        "epoch": 0,
        "authority": Side.LEGACY,
        "lane": f"order:{number}",
        "idempotency_key": f'"intent{number:06d}"',
        "request": HttpRequest(
            method=b"PUT",
            target=b"/orders/%d/status" % number,
            headers=((b"Content-Type", b"application/json"), (b"X-\xe9", b"caf\xe9")),
            body=b'{"status": "paid"}',
        ),
        "owner": "worker-a",
        "opened_at": datetime.now(UTC),
    }
    return WriteIntent(**(values | changes))


def an_answer(status: int = 200, body: bytes = b"{}") -> HttpResponse:
    """Return an answer of a side."""
    return HttpResponse(
        status=status, reason=b"OK", headers=((b"Content-Type", b"application/json"),), body=body
    )


class Books(NamedTuple):
    """One journal from both ends."""

    journal: SqliteJournal | MemoryJournal | PostgresJournal
    desk: SqliteJournalDesk | MemoryJournalDesk | PostgresJournalDesk


async def apply_write(books: Books, intent: WriteIntent, *ids: MadeId) -> None:
    """Open a write and settle it as applied."""
    await books.journal.open(intent)
    await books.journal.settle(intent.intent_id, WriteState.APPLIED, response=an_answer(), ids=ids)
