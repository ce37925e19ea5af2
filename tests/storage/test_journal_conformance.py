"""What every write journal promises about writes and lanes; SQLite and its twin."""

import asyncio

import pytest

from bridge.gateway.dual.ports import (
    Behind,
    IdMap,
    KeyInUse,
    LaneState,
    LaneUnreplayed,
    ReplayQueue,
    WriteDesk,
    WriteJournal,
    WriteStateForbidden,
)
from bridge.model.errors import LaneBusy, StaleEpoch
from bridge.model.stage import Side, Stage
from bridge.model.write import WriteState
from tests.storage.journal_kit import Books, an_answer, an_intent, apply_write
from tests.warrants import by


def test_both_ends_are_what_the_ports_ask(books: Books) -> None:
    journal: WriteJournal = books.journal
    queue: ReplayQueue = books.journal
    ids: IdMap = books.journal
    desk: WriteDesk = books.desk
    assert all((journal, queue, ids, desk))


def test_an_intent_is_read_back_as_it_was_opened(books: Books) -> None:
    intent = an_intent(client_key="abc", fingerprint="f")
    asyncio.run(books.journal.open(intent))
    write = books.desk.show(intent.intent_id)
    assert write is not None
    assert write.intent == intent
    assert (write.state, write.sequence, write.response) == (WriteState.INTENT, None, None)


def test_an_epoch_that_is_over_cannot_open(books: Books) -> None:
    books.desk.switch("orders", Stage.DUAL, expected_epoch=0, warrant=by("ana", "begin"))
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
        books.desk.resolve(first.intent_id, WriteState.FAILED, warrant=by("ana", "not there"))
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
        await apply_write(books, first)
        turned = an_intent(lane="order:1", authority=Side.MODERN)
        with pytest.raises(LaneUnreplayed):
            await books.journal.open(turned)
        assert books.journal.lane_state("orders", "order:1").unreplayed_to is Side.MODERN
        # The side that has the lane's writes may go on.
        sticky = an_intent(lane="order:1", authority=Side.LEGACY)
        await apply_write(books, sticky)
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
        await apply_write(books, intent)
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


def test_what_is_recorded_already_may_be_recorded_again(books: Books) -> None:
    async def check() -> None:
        journal = books.journal
        applied, rejected = an_intent(), an_intent()
        await journal.open(applied)
        await journal.open(rejected)
        sequence = await journal.settle(applied.intent_id, WriteState.APPLIED)
        assert await journal.settle(applied.intent_id, WriteState.APPLIED) == sequence
        await journal.settle(rejected.intent_id, WriteState.REJECTED)
        await journal.settle(rejected.intent_id, WriteState.REJECTED)
        for _ in range(2):
            await journal.finish(applied.intent_id, WriteState.DONE)
        assert await journal.settle(applied.intent_id, WriteState.APPLIED) == sequence
        assert journal.state_of(applied.intent_id) is WriteState.DONE
        assert len(books.desk.pending(10)) == 1

    asyncio.run(check())


def test_a_used_client_key_gives_its_write(books: Books) -> None:
    async def check() -> None:
        first = an_intent(client_key="k1", fingerprint="same")
        await apply_write(books, first)
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
            await apply_write(books, intent)
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
        await apply_write(books, an_intent(lane="order:1"))
        assert books.journal.news(news.through, 100).lanes

    asyncio.run(check())


def test_news_come_in_pages(books: Books) -> None:
    async def check() -> None:
        for number in range(5):
            await apply_write(books, an_intent(lane=f"order:{number}"))
        through, lanes = 0, []
        while page := books.journal.news(through, 2).lanes:
            through = books.journal.news(through, 2).through
            lanes += [lane for _, lane, _ in page]
        assert lanes == [f"order:{number}" for number in range(5)]

    asyncio.run(check())


def test_held_lanes_give_nothing_to_replay(books: Books) -> None:
    async def check() -> None:
        await apply_write(books, an_intent(lane="order:1"))
        books.desk.hold_lanes("orders", held=True, warrant=by("ana", "modern is being loaded"))
        assert books.journal.head("orders", "order:1") is None
        books.desk.hold_lanes("orders", held=False, warrant=by("ana", "loaded"))
        assert books.journal.head("orders", "order:1") is not None

    asyncio.run(check())


def test_intents_of_a_dead_owner_are_in_doubt(books: Books) -> None:
    async def check() -> None:
        dead, live = an_intent(owner="dead"), an_intent(owner="live")
        done = an_intent(owner="dead")
        await books.journal.open(dead)
        await books.journal.open(live)
        await apply_write(books, done)
        assert set(books.journal.open_owners()) == {"dead", "live"}
        assert await books.journal.orphan("dead") == [dead.intent_id]
        assert books.journal.open_owners() == ["live"]
        listed = books.desk.list_writes(state=WriteState.IN_DOUBT)
        assert [write.intent.intent_id for write in listed] == [dead.intent_id]

    asyncio.run(check())


def test_what_is_final_for_long_is_forgotten(books: Books) -> None:
    async def check() -> None:
        done, waiting = an_intent(client_key="k"), an_intent()
        await apply_write(books, done)
        await apply_write(books, waiting)
        await books.journal.finish(done.intent_id, WriteState.DONE)
        assert await books.journal.prune(3600, 10) == 0
        assert await books.journal.prune(-1, 10) == 1
        assert books.desk.show(done.intent_id) is None
        assert books.desk.show(waiting.intent_id) is not None
        await books.journal.open(an_intent(client_key="k"))

    asyncio.run(check())


def test_a_side_is_behind_while_anything_of_the_group_is_on_its_way(books: Books) -> None:
    journal = books.journal

    async def check() -> None:
        assert journal.behind("orders", Side.MODERN) == Behind(unreplayed=False, open=False)
        intent = an_intent(lane="order:1")
        await journal.open(intent)
        assert journal.behind("orders", Side.MODERN) == Behind(unreplayed=False, open=True)
        assert journal.behind("others", Side.MODERN) == Behind(unreplayed=False, open=False)
        await journal.settle(intent.intent_id, WriteState.APPLIED, response=an_answer())
        assert journal.behind("orders", Side.MODERN) == Behind(unreplayed=True, open=False)
        assert journal.behind("orders", Side.LEGACY) == Behind(unreplayed=False, open=False)
        await journal.finish(intent.intent_id, WriteState.PARKED, reason="no")
        assert journal.behind("orders", Side.MODERN).unreplayed
        doubtful = an_intent(lane="order:2")
        await journal.open(doubtful)
        await journal.settle(doubtful.intent_id, WriteState.IN_DOUBT, reason="lost")
        assert journal.behind("orders", Side.LEGACY).open
        books.desk.skip(intent.intent_id, by("ana", "not needed"))
        books.desk.resolve(doubtful.intent_id, WriteState.FAILED, warrant=by("ana", "not there"))
        assert journal.behind("orders", Side.MODERN) == Behind(unreplayed=False, open=False)

    asyncio.run(check())
