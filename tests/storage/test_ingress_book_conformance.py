"""What every book of queued requests promises: in the file, in PostgreSQL, and in memory."""

import asyncio
import time
from dataclasses import replace
from itertools import count
from typing import Any

from bridge.eventlog.records.action_record import action_draft
from bridge.gateway.ingress.ports import Backlog, IngressBook, QueuedRequest, QueueState
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.http import HttpRequest
from tests.storage.journal_kit import Books, an_answer, an_intent

_numbers = count(1)


def a_queued(**changes: Any) -> QueuedRequest:
    """Return a request of group `orders` to be queued."""
    number = next(_numbers)
    values: dict[str, Any] = {
        "request_id": f"request{number:06d}",
        "group": "orders",
        "route": "order-status",
        "lane": f"order:{number}",
        "client_key": None,
        "fingerprint": "f",
        "caller": "c",
        "request": HttpRequest(
            method=b"PUT", target=b"/orders/1", headers=((b"X-\xe9", b"caf\xe9"),), body=b"{}\x00"
        ),
        "accepted_at": 1234.5,
    }
    return QueuedRequest(**(values | changes))


def a_draft(name: str) -> EntryDraft:
    """Return an entry of an end."""
    at = an_intent().opened_at
    return action_draft(EntryKind.DUALWRITE, "async-done", None, at=at, entry_id=name)


def test_a_request_is_read_back_as_it_was_accepted_and_ended(books: Books) -> None:
    async def check() -> None:
        book: IngressBook = books.journal.ingress()
        queued = a_queued(client_key="k")
        assert (await book.accept(queued)).request_id == queued.request_id
        kept = book.find(queued.request_id)
        assert kept is not None
        assert (kept.queued, kept.state, kept.response) == (queued, QueueState.WAITING, None)
        assert await book.begin(queued.request_id, guarded=True, epoch=7)
        (begun,) = book.unfinished(10)
        assert (begun.state, begun.guarded, begun.epoch) == (QueueState.BEGUN, True, 7)
        await book.put_back(queued.request_id)
        assert book.unfinished(10)[0].state is QueueState.WAITING
        await book.begin(queued.request_id, guarded=False, epoch=0)
        for _ in range(2):  # Whoever lost the answer records it again; it is told once.
            await book.end(queued.request_id, QueueState.DONE, an_answer(), a_draft("e"))
        done = book.find(queued.request_id)
        assert done is not None
        assert (done.state, done.response) == (QueueState.DONE, an_answer())
        assert not book.unfinished(10)
        assert not await book.begin(queued.request_id, guarded=True, epoch=7)
        assert [draft.entry_id for _, draft in books.desk.pending(10)] == ["e"]
        assert book.find("nobody") is None

    asyncio.run(check())


def test_a_clients_key_is_accepted_once(books: Books) -> None:
    async def check() -> None:
        book = books.journal.ingress()
        first = a_queued(client_key="k", fingerprint="one")
        assert await book.accept(first) == await book.accept(first)
        again = a_queued(client_key="k", fingerprint="other")
        assert await book.accept(again) == (first.request_id, "one")
        elsewhere = a_queued(client_key="k", route="another")
        assert (await book.accept(elsewhere)).request_id == elsewhere.request_id
        many = [a_queued(client_key="many") for _ in range(20)]
        accepted = await asyncio.gather(*(book.accept(queued) for queued in many))
        assert len({each.request_id for each in accepted}) == 1

    asyncio.run(check())


def test_what_waits_is_listed_in_order_and_counted(books: Books) -> None:
    async def check() -> None:
        book = books.journal.ingress()
        queued = [a_queued() for _ in range(5)]
        for each in queued:
            await book.accept(each)
        await book.accept(a_queued(route="another"))
        listed = [kept.queued.request_id for kept in book.unfinished(5)]
        assert listed == [each.request_id for each in queued]
        assert len(book.unfinished(2)) == 2
        assert book.backlog("orders", "order-status") == Backlog(5, 15)
        assert book.backlog("orders", "nothing") == Backlog(0, 0)

    asyncio.run(check())


def test_a_lane_is_unfinished_until_its_last_request_has_ended(books: Books) -> None:
    async def check() -> None:
        book = books.journal.ingress()
        first, second = a_queued(lane="order:x"), a_queued(lane="order:x", route="another")
        for each in (first, second):
            await book.accept(each)
        assert book.is_unfinished("orders", "order:x")
        assert not book.is_unfinished("orders", "order:y")
        assert not book.is_unfinished("stock", "order:x")
        assert await book.cancel(first.request_id, a_draft("f"))
        await book.begin(second.request_id, guarded=False, epoch=0)
        assert book.is_unfinished("orders", "order:x")
        await book.end(second.request_id, QueueState.IN_DOUBT, None, a_draft("s"))
        assert not book.is_unfinished("orders", "order:x")

    asyncio.run(check())


def test_only_one_that_waits_is_cancelled(books: Books) -> None:
    async def check() -> None:
        book = books.journal.ingress()
        waiting, begun = a_queued(), a_queued()
        for each in (waiting, begun):
            await book.accept(each)
        await book.begin(begun.request_id, guarded=False, epoch=0)
        assert await book.cancel(waiting.request_id, a_draft("w"))
        assert not await book.cancel(begun.request_id, a_draft("b"))
        assert not await book.begin(waiting.request_id, guarded=False, epoch=0)
        assert [draft.entry_id for _, draft in books.desk.pending(10)] == ["w"]
        found = book.find(waiting.request_id)
        assert found is not None
        assert found.state is QueueState.CANCELLED

    asyncio.run(check())


def test_answers_expire_names_stay_as_long_again(books: Books) -> None:
    async def check() -> None:
        book = books.journal.ingress()
        queued, waiting = a_queued(client_key="k"), a_queued()
        for each in (queued, waiting):
            await book.accept(each)
        await book.begin(queued.request_id, guarded=False, epoch=0)
        await book.end(queued.request_id, QueueState.DONE, an_answer(), a_draft("e"))
        now = time.time()
        assert await book.expire("order-status", now - 60, now, 10) == 0
        assert await book.expire("order-status", now + 60, now, 10) == 1
        gone = book.find(queued.request_id)
        assert gone is not None
        assert (gone.state, gone.response) == (QueueState.EXPIRED, None)
        assert gone.queued.caller == queued.caller
        # Its key is free again.
        again = replace(a_queued(), client_key="k")
        assert (await book.accept(again)).request_id == again.request_id
        await book.expire("order-status", now + 60, now, 10)
        assert book.find(queued.request_id) is None
        assert book.find(waiting.request_id) is not None

    asyncio.run(check())
