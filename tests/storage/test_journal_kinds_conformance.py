"""What every journal promises about outcomes without intents, compensations and repairs."""

import asyncio

import pytest

from bridge.model.errors import LaneBusy, StaleEpoch
from bridge.model.stage import Side, Stage
from bridge.model.write import MadeId, WriteKind, WriteLevel, WriteState
from tests.storage.journal_kit import Books, an_answer, an_intent, apply_write
from tests.warrants import by


def test_what_a_write_is_is_read_back(books: Books) -> None:
    intent = an_intent(level=WriteLevel.BOTH, kind=WriteKind.COMPENSATION, compensates="x")
    asyncio.run(books.journal.open(intent))
    write = books.desk.show(intent.intent_id)
    assert write is not None
    assert write.intent == intent
    assert books.journal.state_of(intent.intent_id) is WriteState.INTENT
    assert books.journal.state_of("nobody") is None


def test_an_outcome_alone_is_recorded_whatever_stands_in_the_way(books: Books) -> None:
    async def check() -> None:
        journal = books.journal
        await journal.open(an_intent(lane="order:1", client_key="k"))
        books.desk.switch("orders", Stage.DUAL, expected_epoch=0, warrant=by("ana", "begin"))
        late = an_intent(lane="order:1", client_key="k", level=WriteLevel.OUTCOME)
        sequence = await journal.record(late, WriteState.APPLIED, response=an_answer())
        assert sequence is not None
        write = books.desk.show(late.intent_id)
        assert write is not None
        assert (write.state, write.sequence, write.intent.client_key) == (
            WriteState.APPLIED, sequence, None
        )  # fmt: skip
        assert (write.response, write.intent.lane) == (an_answer(), "order:1")
        head = journal.head("orders", "order:1")
        assert head is not None
        assert head.intent.intent_id == late.intent_id
        # Whoever lost the answer may record it again.
        assert await journal.record(late, WriteState.APPLIED, response=an_answer()) == sequence
        assert len(journal.news(0, 10).lanes) == 1

    asyncio.run(check())


def test_an_outcome_alone_may_be_in_doubt_beside_others_and_holds_the_lane(books: Books) -> None:
    async def check() -> None:
        journal = books.journal
        running = an_intent(lane="order:1")
        await journal.open(running)
        lost = [an_intent(lane="order:1", level=WriteLevel.OUTCOME) for _ in range(2)]
        for intent in lost:
            await journal.record(intent, WriteState.IN_DOUBT, reason="no whole answer")
        assert [write.intent.intent_id for write in journal.doubtful(10)] == [
            intent.intent_id for intent in lost
        ]
        (first,) = journal.doubtful(1)
        (second,) = journal.doubtful(10, first.intent.intent_id)
        assert second.intent.intent_id == lost[1].intent_id
        assert not journal.doubtful(10, lost[1].intent_id)
        assert len(journal.doubtful(10, "forgotten")) == 2
        await journal.settle(running.intent_id, WriteState.REJECTED)
        for intent in lost:
            with pytest.raises(LaneBusy):
                await journal.open(an_intent(lane="order:1"))
            books.desk.resolve(intent.intent_id, WriteState.APPLIED, warrant=by("ana", "there"))
        assert not journal.doubtful(10)
        await journal.open(an_intent(lane="order:1"))

    asyncio.run(check())


def test_a_create_without_an_intent_gets_its_lane_and_pair(books: Books) -> None:
    async def check() -> None:
        intent = an_intent(lane="new:x", level=WriteLevel.OUTCOME)
        made = MadeId("order", "17", "/order_id")
        await books.journal.record(
            intent, WriteState.APPLIED, response=an_answer(), lane="order:17", ids=[made]
        )
        assert books.journal.lane_state("orders", "order:17").unreplayed_to is Side.MODERN
        assert books.journal.pair("orders", "order", "17") is not None

    asyncio.run(check())


def test_a_repair_is_applied_at_once_and_fenced(books: Books) -> None:
    async def check() -> None:
        journal = books.journal
        await journal.open(an_intent(lane="order:1"))
        with pytest.raises(LaneBusy):
            await journal.record(
                an_intent(lane="order:1", kind=WriteKind.REPAIR), WriteState.APPLIED
            )
        with pytest.raises(StaleEpoch):
            await journal.record(an_intent(epoch=7, kind=WriteKind.REPAIR), WriteState.APPLIED)
        repair = an_intent(lane="order:2", kind=WriteKind.REPAIR)
        assert await journal.record(repair, WriteState.APPLIED) is not None
        head = journal.head("orders", "order:2")
        assert head is not None
        assert head.intent.kind is WriteKind.REPAIR
        await journal.finish(repair.intent_id, WriteState.DONE)
        told = [draft for _, draft in books.desk.pending(10)]
        assert [draft.fields["kind"] for draft in told] == ["repair"]

    asyncio.run(check())


def test_a_compensation_ends_the_write_that_it_undoes(books: Books) -> None:
    async def check() -> None:
        journal = books.journal
        refused, behind = an_intent(lane="order:1"), an_intent(lane="order:1")
        await apply_write(books, refused)
        await apply_write(books, behind)
        await journal.finish(refused.intent_id, WriteState.PARKED, reason="modern answered 422")
        undo = an_intent(lane="order:1", kind=WriteKind.COMPENSATION, compensates=refused.intent_id)
        await journal.open(undo)
        nudge = journal.news(0, 1).nudge
        assert await journal.settle(undo.intent_id, WriteState.APPLIED) is None
        assert journal.state_of(undo.intent_id) is WriteState.DONE
        assert journal.state_of(refused.intent_id) is WriteState.COMPENSATED
        head = journal.head("orders", "order:1")
        assert head is not None
        assert head.intent.intent_id == behind.intent_id
        assert journal.news(0, 1).nudge > nudge  # The lane is looked at again.
        told = [draft.fields for _, draft in books.desk.pending(10)]
        assert [(entry["intent"], entry["to"]) for entry in told[1:]] == [
            (refused.intent_id, "compensated"),
            (undo.intent_id, "done"),
        ]
        assert told[2]["compensates"] == refused.intent_id

    asyncio.run(check())


def test_a_compensation_in_doubt_is_resolved_like_any_write(books: Books) -> None:
    async def check() -> None:
        refused = an_intent(lane="order:1")
        await apply_write(books, refused)
        await books.journal.finish(refused.intent_id, WriteState.PARKED, reason="no")
        undo = an_intent(lane="order:1", kind=WriteKind.COMPENSATION, compensates=refused.intent_id)
        await books.journal.open(undo)
        await books.journal.settle(undo.intent_id, WriteState.IN_DOUBT, reason="lost")
        assert books.journal.state_of(refused.intent_id) is WriteState.PARKED
        # A person went on without the write meanwhile: that stays as decided.
        books.desk.skip(refused.intent_id, by("ana", "entered by hand"))
        books.desk.resolve(undo.intent_id, WriteState.APPLIED, warrant=by("ana", "undone"))
        assert books.journal.state_of(undo.intent_id) is WriteState.DONE
        assert books.journal.state_of(refused.intent_id) is WriteState.SKIPPED

    asyncio.run(check())


def test_writes_are_listed_by_lane_and_kind(books: Books) -> None:
    async def check() -> None:
        first, second = an_intent(lane="order:1"), an_intent(lane="order:2")
        await apply_write(books, first)
        await apply_write(books, second)
        repair = an_intent(lane="order:1", kind=WriteKind.REPAIR)
        await books.journal.record(repair, WriteState.APPLIED)

        def listed(**which: object) -> list[str]:
            found = books.desk.list_writes(**which)  # type: ignore[arg-type]  # by name
            return [write.intent.intent_id for write in found]

        assert listed() == []
        assert listed(lane="order:1") == [repair.intent_id, first.intent_id]
        assert listed(kind=WriteKind.REPAIR) == [repair.intent_id]
        assert listed(kind=WriteKind.CLIENT) == [second.intent_id, first.intent_id]
        assert listed(lane="order:1", kind=WriteKind.CLIENT, state=WriteState.APPLIED) == [
            first.intent_id
        ]
        assert listed(lane="order:1", group="customers") == []

    asyncio.run(check())
