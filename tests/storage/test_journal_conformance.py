"""What every write journal promises; the SQLite one and its twin pass the same tests."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from bridge.gateway.ports import (
    IdMap,
    IdPair,
    IdTaken,
    KeyInUse,
    LaneState,
    LaneUnreplayed,
    MadeId,
    ReplayQueue,
    WriteDesk,
    WriteJournal,
    WriteStateForbidden,
)
from bridge.model.errors import LaneBusy, LogCorrupt, StaleEpoch
from bridge.model.stage import Side, Stage
from bridge.model.write import WriteIntent, WriteState
from bridge.storage.memory_journal import MemoryJournal
from bridge.storage.memory_journal_desk import MemoryJournalDesk
from bridge.storage.sqlite_journal import SqliteJournal
from bridge.storage.sqlite_journal_desk import SqliteJournalDesk
from bridge.switching.history import check_chain
from tests.storage.journal_kit import an_answer, an_intent


class Books(NamedTuple):
    """One journal from both ends."""

    journal: SqliteJournal | MemoryJournal
    desk: SqliteJournalDesk | MemoryJournalDesk


@pytest.fixture(params=["sqlite", "memory"])
def books(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Books]:
    made: Books
    if request.param == "sqlite":
        path = tmp_path / "journal.db"
        made = Books(SqliteJournal(path), SqliteJournalDesk(path))
    else:
        journal = MemoryJournal()
        made = Books(journal, MemoryJournalDesk(journal.state))
    made.desk.ensure_groups(["orders"])
    yield made
    made.journal.close()
    made.desk.close()


def test_both_ends_are_what_the_ports_ask(books: Books) -> None:
    journal: WriteJournal = books.journal
    queue: ReplayQueue = books.journal
    ids: IdMap = books.journal
    desk: WriteDesk = books.desk
    assert all((journal, queue, ids, desk))


async def _applied(books: Books, intent: WriteIntent, *ids: MadeId) -> None:
    await books.journal.open(intent)
    await books.journal.settle(intent.intent_id, WriteState.APPLIED, response=an_answer(), ids=ids)


def test_an_intent_is_read_back_as_it_was_opened(books: Books) -> None:
    intent = an_intent(client_key="abc", fingerprint="f")
    asyncio.run(books.journal.open(intent))
    write = books.desk.show(intent.intent_id)
    assert write is not None
    assert write.intent == intent
    assert (write.state, write.sequence, write.response) == (WriteState.INTENT, None, None)


def test_an_epoch_that_is_over_cannot_open(books: Books) -> None:
    books.desk.switch("orders", Stage.DUAL, expected_epoch=0, actor="ana", reason="begin")
    with pytest.raises(StaleEpoch):
        asyncio.run(books.journal.open(an_intent(epoch=0)))
    with pytest.raises(StaleEpoch):
        asyncio.run(books.journal.open(an_intent(epoch=1, group="unknown")))
    asyncio.run(books.journal.open(an_intent(epoch=1)))


def test_a_lane_takes_one_write_at_a_time(books: Books) -> None:
    async def check() -> None:
        first, second = an_intent(lane="order:1"), an_intent(lane="order:1")
        await books.journal.open(first)
        with pytest.raises(LaneBusy):
            await books.journal.open(second)
        assert books.journal.lane_state("orders", "order:1") == LaneState(in_flight=first.intent_id)
        await books.journal.open(an_intent(lane="order:2"))
        await books.journal.settle(first.intent_id, WriteState.IN_DOUBT, reason="lost")
        with pytest.raises(LaneBusy):
            await books.journal.open(second)
        assert books.journal.lane_state("orders", "order:1").in_doubt
        books.desk.resolve(first.intent_id, WriteState.FAILED, actor="ana", reason="not there")
        await books.journal.open(second)

    asyncio.run(check())


def test_only_one_of_many_at_once_opens_a_lane(books: Books) -> None:
    async def check() -> None:
        intents = [an_intent(lane="order:1") for _ in range(20)]
        opened = await asyncio.gather(
            *(books.journal.open(intent) for intent in intents), return_exceptions=True
        )
        assert [type(result) for result in opened].count(LaneBusy) == 19

    asyncio.run(check())


def test_authority_moves_only_when_its_lane_is_drained(books: Books) -> None:
    async def check() -> None:
        first = an_intent(lane="order:1", authority=Side.LEGACY)
        await _applied(books, first)
        turned = an_intent(lane="order:1", authority=Side.MODERN)
        with pytest.raises(LaneUnreplayed):
            await books.journal.open(turned)
        assert books.journal.lane_state("orders", "order:1").unreplayed_to is Side.MODERN
        # The side that has the lane's writes may go on.
        sticky = an_intent(lane="order:1", authority=Side.LEGACY)
        await _applied(books, sticky)
        await books.journal.finish(first.intent_id, WriteState.DONE)
        with pytest.raises(LaneUnreplayed):
            await books.journal.open(turned)
        await books.journal.finish(sticky.intent_id, WriteState.DONE)
        await books.journal.open(turned)

    asyncio.run(check())


def test_sequence_follows_the_order_of_outcomes(books: Books) -> None:
    async def check() -> None:
        first, second = an_intent(lane="order:1"), an_intent(lane="order:2")
        await books.journal.open(first)
        await books.journal.open(second)
        later = await books.journal.settle(second.intent_id, WriteState.APPLIED)
        latest = await books.journal.settle(first.intent_id, WriteState.APPLIED)
        assert later is not None
        assert latest is not None
        assert later < latest
        rejected = an_intent()
        await books.journal.open(rejected)
        assert await books.journal.settle(rejected.intent_id, WriteState.REJECTED) is None

    asyncio.run(check())


def test_every_illegal_outcome_is_refused_and_changes_nothing(books: Books) -> None:
    async def check() -> None:
        intent = an_intent()
        await _applied(books, intent)
        for state in (WriteState.REJECTED, WriteState.IN_DOUBT, WriteState.FAILED):
            with pytest.raises(WriteStateForbidden):
                await books.journal.settle(intent.intent_id, state)
        await books.journal.finish(intent.intent_id, WriteState.DONE)
        with pytest.raises(WriteStateForbidden):
            await books.journal.finish(intent.intent_id, WriteState.PARKED)
        with pytest.raises(WriteStateForbidden):
            await books.journal.settle("nobody", WriteState.APPLIED)
        write = books.desk.show(intent.intent_id)
        assert write is not None
        assert write.state is WriteState.DONE

    asyncio.run(check())


def test_a_used_client_key_gives_its_write(books: Books) -> None:
    async def check() -> None:
        first = an_intent(client_key="k1", fingerprint="same")
        await _applied(books, first)
        with pytest.raises(KeyInUse) as refused:
            await books.journal.open(an_intent(client_key="k1", fingerprint="same"))
        assert refused.value.write.response == an_answer()
        found = books.journal.keyed("orders", "order-status", "k1")
        assert found is not None
        assert found.intent.intent_id == first.intent_id
        assert books.journal.keyed("orders", "another-route", "k1") is None
        await books.journal.open(an_intent(client_key="k1", route="another-route"))

    asyncio.run(check())


def test_a_released_client_key_may_be_used_again(books: Books) -> None:
    async def check() -> None:
        first = an_intent(client_key="k1")
        await books.journal.open(first)
        await books.journal.settle(first.intent_id, WriteState.FAILED, release_key=True)
        await books.journal.open(an_intent(client_key="k1"))

    asyncio.run(check())


def test_lanes_are_told_once_and_replayed_in_order(books: Books) -> None:
    async def check() -> None:
        intents = [an_intent(lane="order:1") for _ in range(3)]
        for intent in intents:
            await _applied(books, intent)
        news = books.journal.news(0, 100)
        assert set(news.lanes) == {("orders", "order:1", Side.MODERN)}
        assert not books.journal.news(news.through, 100).lanes
        for intent in intents:
            head = books.journal.head("orders", "order:1")
            assert head is not None
            assert head.intent.intent_id == intent.intent_id
            await books.journal.retry_later(intent.intent_id, "modern answered 503")
            again = books.journal.head("orders", "order:1")
            assert again is not None
            assert (again.attempts, again.reason) == (1, "modern answered 503")
            await books.journal.finish(intent.intent_id, WriteState.DONE)
        assert books.journal.head("orders", "order:1") is None
        # A number is never used twice: what comes after a look is always news.
        await _applied(books, an_intent(lane="order:1"))
        assert books.journal.news(news.through, 100).lanes

    asyncio.run(check())


def test_news_come_in_pages(books: Books) -> None:
    async def check() -> None:
        for number in range(5):
            await _applied(books, an_intent(lane=f"order:{number}"))
        through, lanes = 0, []
        while page := books.journal.news(through, 2).lanes:
            through = books.journal.news(through, 2).through
            lanes += [lane for _, lane, _ in page]
        assert lanes == [f"order:{number}" for number in range(5)]

    asyncio.run(check())


def test_a_parked_write_holds_its_lane_until_somebody_decides(books: Books) -> None:
    async def check() -> None:
        first, second = an_intent(lane="order:1"), an_intent(lane="order:1")
        await _applied(books, first)
        await _applied(books, second)
        await books.journal.finish(first.intent_id, WriteState.PARKED, reason="modern answered 422")
        assert books.journal.head("orders", "order:1") is None
        assert books.journal.lane_state("orders", "order:1").parked
        parked = books.desk.list_writes()
        assert [write.intent.intent_id for write in parked] == [first.intent_id]
        before = books.journal.news(0, 1).nudge
        books.desk.replay(first.intent_id, actor="ana", reason="fixed over there")
        assert books.journal.news(0, 1).nudge > before
        head = books.journal.head("orders", "order:1")
        assert head is not None
        assert head.intent.intent_id == first.intent_id
        await books.journal.finish(first.intent_id, WriteState.PARKED, reason="again")
        books.desk.skip(first.intent_id, actor="ana", reason="entered by hand")
        head = books.journal.head("orders", "order:1")
        assert head is not None
        assert head.intent.intent_id == second.intent_id

    asyncio.run(check())


def test_held_lanes_give_nothing_to_replay(books: Books) -> None:
    async def check() -> None:
        await _applied(books, an_intent(lane="order:1"))
        books.desk.hold_lanes("orders", held=True, actor="ana", reason="modern is being loaded")
        assert books.journal.head("orders", "order:1") is None
        books.desk.hold_lanes("orders", held=False, actor="ana", reason="loaded")
        assert books.journal.head("orders", "order:1") is not None

    asyncio.run(check())


def test_a_create_gets_its_lane_and_its_pair(books: Books) -> None:
    async def check() -> None:
        intent = an_intent(lane="new:x")
        await books.journal.open(intent)
        made = MadeId("order", "17", "/order_id")
        await books.journal.settle(
            intent.intent_id, WriteState.APPLIED, response=an_answer(), lane="order:17", ids=[made]
        )
        assert books.journal.lane_state("orders", "order:17").unreplayed_to is Side.MODERN
        half = IdPair("order", "17", None, "order:17")
        assert books.journal.pair("orders", "order", "17") == half
        await books.journal.finish(
            intent.intent_id, WriteState.DONE, ids=[MadeId("order", "m-5", "/order_id")]
        )
        whole = IdPair("order", "17", "m-5", "order:17")
        assert books.journal.pair("orders", "order", "17") == whole
        assert books.journal.pair("orders", "order", "m-5") == whole
        assert books.journal.pair_on("orders", "order", Side.LEGACY, "m-5") is None
        assert books.journal.pair("orders", "customer", "17") is None

    asyncio.run(check())


def test_an_id_of_another_entity_is_not_paired_twice(books: Books) -> None:
    async def check() -> None:
        assert books.desk.import_ids("orders", "order", [("1", "m-1")]) == 1
        intent = an_intent(lane="new:x")
        await _applied(books, intent, MadeId("order", "17", "/order_id"))
        with pytest.raises(IdTaken):
            await books.journal.finish(
                intent.intent_id, WriteState.DONE, ids=[MadeId("order", "m-1", "/order_id")]
            )
        write = books.desk.show(intent.intent_id)
        assert write is not None
        assert write.state is WriteState.APPLIED
        await books.journal.finish(intent.intent_id, WriteState.PARKED, reason="id is taken")

    asyncio.run(check())


def test_imports_count_what_is_new_and_refuse_contradictions(books: Books) -> None:
    desk = books.desk
    assert desk.import_ids("orders", "order", [("1", "a"), ("2", "b")]) == 2
    assert desk.import_ids("orders", "order", [("2", "b"), ("3", "c")]) == 1
    for wrong in ([("4", "d"), ("1", "c")], [("1", "x")], [("5", "e"), ("5", "f")]):
        with pytest.raises(IdTaken):
            desk.import_ids("orders", "order", wrong)
    assert books.journal.pair("orders", "order", "4") is None
    assert books.journal.pair("orders", "order", "b") == IdPair("order", "2", "b", "order:2")


def test_an_import_completes_what_is_half_known(books: Books) -> None:
    async def check() -> None:
        await _applied(books, an_intent(lane="new:x"), MadeId("order", "17", "/order_id"))
        assert books.desk.import_ids("orders", "order", [("17", "m-5")]) == 1
        pair = books.journal.pair("orders", "order", "m-5")
        assert pair == IdPair("order", "17", "m-5", "order:17")

    asyncio.run(check())


def test_intents_of_a_dead_owner_are_in_doubt(books: Books) -> None:
    async def check() -> None:
        dead, live = an_intent(owner="dead"), an_intent(owner="live")
        done = an_intent(owner="dead")
        await books.journal.open(dead)
        await books.journal.open(live)
        await _applied(books, done)
        assert set(books.journal.open_owners()) == {"dead", "live"}
        assert await books.journal.orphan("dead") == [dead.intent_id]
        assert books.journal.open_owners() == ["live"]
        listed = books.desk.list_writes(state=WriteState.IN_DOUBT)
        assert [write.intent.intent_id for write in listed] == [dead.intent_id]

    asyncio.run(check())


def test_a_write_in_doubt_is_resolved_with_its_new_id(books: Books) -> None:
    async def check() -> None:
        intent = an_intent(lane="new:x", client_key="k")
        await books.journal.open(intent)
        await books.journal.settle(intent.intent_id, WriteState.IN_DOUBT, reason="lost")
        with pytest.raises(WriteStateForbidden):
            books.desk.resolve(intent.intent_id, WriteState.DONE, actor="ana", reason="?")
        books.desk.resolve(
            intent.intent_id,
            WriteState.APPLIED,
            actor="ana",
            reason="order 17 is there",
            ids={"order": "17"},
        )
        head = books.journal.head("orders", "order:17")
        assert head is not None
        assert head.intent.intent_id == intent.intent_id
        await books.journal.finish(
            intent.intent_id, WriteState.DONE, ids=[MadeId("order", "m-5", "/order_id")]
        )
        assert books.journal.pair("orders", "order", "m-5") is not None

    asyncio.run(check())


def test_lane_counts_tell_the_backlog(books: Books) -> None:
    async def check() -> None:
        first = an_intent(lane="order:1")
        await _applied(books, first)
        await _applied(books, an_intent(lane="order:1"))
        await _applied(books, an_intent(lane="order:2"))
        await books.journal.finish(first.intent_id, WriteState.PARKED, reason="no")
        (found,) = books.desk.lane_counts()
        assert (found.group, found.towards) == ("orders", Side.MODERN)
        assert (found.lanes, found.writes, found.parked) == (2, 3, 1)
        assert 0 <= found.oldest_age_s < 60

    asyncio.run(check())


def test_what_is_final_for_long_is_forgotten(books: Books) -> None:
    async def check() -> None:
        done, waiting = an_intent(client_key="k"), an_intent()
        await _applied(books, done)
        await _applied(books, waiting)
        await books.journal.finish(done.intent_id, WriteState.DONE)
        assert await books.journal.prune(3600, 10) == 0
        assert await books.journal.prune(-1, 10) == 1
        assert books.desk.show(done.intent_id) is None
        assert books.desk.show(waiting.intent_id) is not None
        await books.journal.open(an_intent(client_key="k"))

    asyncio.run(check())


def test_switches_grow_the_epoch_and_chain_their_history(books: Books) -> None:
    desk = books.desk
    desk.ensure_groups(["orders", "customers"])
    desk.switch("orders", Stage.DUAL, expected_epoch=0, actor="ana", reason="begin")
    desk.switch("customers", Stage.DUAL, expected_epoch=0, actor="ben", reason="begin")
    with pytest.raises(StaleEpoch):
        desk.switch("orders", Stage.MODERN, expected_epoch=0, actor="ana", reason="late")
    back = desk.switch("orders", Stage.LEGACY, expected_epoch=1, actor="ana", reason="errors")
    assert (back.epoch, back.from_stage, back.to_stage) == (2, Stage.DUAL, Stage.LEGACY)
    state = desk.group("orders")
    assert state is not None
    assert (state.stage, state.epoch) == (Stage.LEGACY, 2)
    assert {found.group for found in desk.groups()} == {"orders", "customers"}
    assert {found.group for found in books.journal.groups()} == {"orders", "customers"}
    history = desk.history()
    check_chain(history)
    assert [record.switch.reason for record in history] == ["begin", "begin", "errors"]
    with pytest.raises(LogCorrupt):
        check_chain([history[0], *history[2:]])


def test_entries_wait_for_the_event_log_and_name_nobody(books: Books) -> None:
    async def check() -> None:
        desk = books.desk
        desk.switch("orders", Stage.DUAL, expected_epoch=0, actor="ana", reason="begin")
        secret = an_intent(lane="customer:canary-4711", epoch=1)
        await _applied(books, secret)
        await books.journal.finish(secret.intent_id, WriteState.PARKED, reason="modern said no")
        desk.skip(secret.intent_id, actor="ana", reason="by hand")
        lost = an_intent(lane="customer:canary-4712", epoch=1)
        await books.journal.open(lost)
        await books.journal.settle(lost.intent_id, WriteState.IN_DOUBT, reason="lost")
        desk.resolve(lost.intent_id, WriteState.FAILED, actor="ana", reason="not there")
        desk.import_ids("orders", "customer", [("canary-4713", "m")])
        pending = desk.pending(100)
        told = [
            (draft.kind.value, draft.fields.get("outcome", draft.fields["action"]))
            for _, draft in pending
        ]
        assert told == [
            ("route", "switch"),
            ("dualwrite", "parked"),
            ("dualwrite", "skipped"),
            ("dualwrite", "in_doubt"),
            ("dualwrite", "failed"),
            ("dualwrite", "import_ids"),
        ]
        assert len({draft.entry_id for _, draft in pending}) == len(pending)
        assert "canary" not in repr(pending)
        skipped = pending[2][1].fields
        assert (skipped["actor"], skipped["reason"]) == ("ana", "by hand")
        desk.discard(pending[2][0])
        assert desk.pending(100) == pending[3:]

    asyncio.run(check())
