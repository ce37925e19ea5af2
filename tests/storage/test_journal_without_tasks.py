"""What every write journal promises to callers that wait without a task."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from bridge.gateway.dual.ports import Done, WriteStateForbidden
from bridge.model.errors import LaneBusy, StaleEpoch
from bridge.model.write import WriteState
from tests.storage.journal_kit import Books, an_answer, an_intent


async def _told(ask: Callable[[Done], None]) -> tuple[Exception | None, object]:
    """Return what `done` heard; it is called from the loop, and not before `ask` returns."""
    heard: asyncio.Future[tuple[Exception | None, object]]
    heard = asyncio.get_running_loop().create_future()
    ask(lambda error, result: heard.set_result((error, result)))
    assert not heard.done()
    return await heard


def test_what_is_asked_without_a_task_is_told_once_it_is_durable(books: Books) -> None:
    async def check() -> None:
        journal, intent = books.journal, an_intent()
        opened = await _told(lambda done: journal.open_soon(intent, done=done))
        assert opened == (None, None)
        assert journal.state_of(intent.intent_id) is WriteState.INTENT
        settle = partial(
            journal.settle_soon,
            intent.intent_id,
            WriteState.APPLIED,
            response=an_answer(),
            reason=None,
            release_key=False,
        )
        error, sequence = await _told(lambda done: settle(done=done))
        assert error is None
        assert isinstance(sequence, int)
        write = books.desk.show(intent.intent_id)
        assert write is not None
        assert (write.state, write.sequence) == (WriteState.APPLIED, sequence)
        assert write.response == an_answer()
        assert await _told(lambda done: settle(done=done)) == (None, sequence)

    asyncio.run(check())


def test_what_is_refused_without_a_task_is_told_as_an_error(books: Books) -> None:
    async def check() -> None:
        journal, first = books.journal, an_intent(lane="order:1")
        await journal.open(first)
        second = an_intent(lane="order:1")
        error, _ = await _told(lambda done: journal.open_soon(second, done=done))
        assert isinstance(error, LaneBusy)
        error, _ = await _told(
            lambda done: journal.open_soon(an_intent(epoch=7, lane="order:2"), done=done)
        )
        assert isinstance(error, StaleEpoch)
        await journal.settle(first.intent_id, WriteState.REJECTED, reason="no")
        error, _ = await _told(
            lambda done: journal.settle_soon(
                first.intent_id,
                WriteState.APPLIED,
                response=an_answer(),
                reason=None,
                release_key=False,
                done=done,
            )
        )
        assert isinstance(error, WriteStateForbidden)

    asyncio.run(check())


def test_a_caller_that_fails_when_it_is_told_harms_no_other(books: Books) -> None:
    def breaks(_: Exception | None, __: object) -> None:
        raise ValueError("a bug of a caller")

    async def check() -> None:
        failed: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: failed.append(told))
        books.journal.open_soon(an_intent(), done=breaks)
        assert await _told(lambda done: books.journal.open_soon(an_intent(), done=done)) == (
            None,
            None,
        )
        assert [type(told["exception"]) for told in failed] == [ValueError]

    asyncio.run(check())
