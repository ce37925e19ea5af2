"""What every journal promises about ids, decisions, switches and entries; SQLite and its twin."""

import asyncio
import dataclasses
import json
from datetime import UTC, datetime

import pytest

from bridge.eventlog.records.action_record import action_draft
from bridge.gateway.dual.ports import IdPair, IdTaken, WriteStateForbidden
from bridge.model.entry import EntryKind
from bridge.model.errors import LogCorrupt, StaleEpoch
from bridge.model.stage import Place, Side, Stage
from bridge.model.write import MadeId, WriteState
from bridge.switching.history import check_chain
from tests.storage.journal_kit import Books, an_answer, an_intent, apply_write
from tests.warrants import by


def test_a_parked_write_holds_its_lane_until_somebody_decides(books: Books) -> None:
    async def check() -> None:
        first, second = an_intent(lane="order:1"), an_intent(lane="order:1")
        await apply_write(books, first)
        await apply_write(books, second)
        await books.journal.finish(first.intent_id, WriteState.PARKED, reason="modern answered 422")
        assert books.journal.head("orders", "order:1") is None
        assert books.journal.lane_state("orders", "order:1").parked
        parked = books.desk.list_writes()
        assert [write.intent.intent_id for write in parked] == [first.intent_id]
        before = books.journal.news(0, 1).nudge
        books.desk.replay(first.intent_id, warrant=by("ana", "fixed over there"))
        assert books.journal.news(0, 1).nudge > before
        head = books.journal.head("orders", "order:1")
        assert head is not None
        assert head.intent.intent_id == first.intent_id
        await books.journal.finish(first.intent_id, WriteState.PARKED, reason="again")
        books.desk.skip(first.intent_id, warrant=by("ana", "entered by hand"))
        head = books.journal.head("orders", "order:1")
        assert head is not None
        assert head.intent.intent_id == second.intent_id

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
        assert books.desk.import_ids("orders", "order", [("1", "m-1")], by()) == 1
        intent = an_intent(lane="new:x")
        await apply_write(books, intent, MadeId("order", "17", "/order_id"))
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
    assert desk.import_ids("orders", "order", [("1", "a"), ("2", "b")], by()) == 2
    assert desk.import_ids("orders", "order", [("2", "b"), ("3", "c")], by()) == 1
    for wrong in ([("4", "d"), ("1", "c")], [("1", "x")], [("5", "e"), ("5", "f")]):
        with pytest.raises(IdTaken):
            desk.import_ids("orders", "order", wrong, by())
    assert books.journal.pair("orders", "order", "4") is None
    assert books.journal.pair("orders", "order", "b") == IdPair("order", "2", "b", "order:2")


def test_an_import_completes_what_is_half_known(books: Books) -> None:
    async def check() -> None:
        await apply_write(books, an_intent(lane="new:x"), MadeId("order", "17", "/order_id"))
        assert books.desk.import_ids("orders", "order", [("17", "m-5")], by()) == 1
        pair = books.journal.pair("orders", "order", "m-5")
        assert pair == IdPair("order", "17", "m-5", "order:17")

    asyncio.run(check())


def test_only_a_write_in_doubt_is_resolved(books: Books) -> None:
    async def check() -> None:
        intent = an_intent(lane="order:17")
        await books.journal.open(intent)
        with pytest.raises(WriteStateForbidden, match="it is intent, not in doubt"):
            books.desk.resolve(intent.intent_id, WriteState.FAILED, warrant=by("ana", "?"))
        await books.journal.settle(intent.intent_id, WriteState.APPLIED)
        with pytest.raises(WriteStateForbidden, match="it is applied, not in doubt"):
            books.desk.resolve(intent.intent_id, WriteState.APPLIED, warrant=by("ana", "?"))

    asyncio.run(check())


def test_a_write_in_doubt_is_resolved_with_its_new_id(books: Books) -> None:
    async def check() -> None:
        intent = an_intent(lane="new:x", client_key="k")
        await books.journal.open(intent)
        await books.journal.settle(intent.intent_id, WriteState.IN_DOUBT, reason="lost")
        with pytest.raises(WriteStateForbidden):
            books.desk.resolve(intent.intent_id, WriteState.DONE, warrant=by("ana", "?"))
        books.desk.resolve(
            intent.intent_id,
            WriteState.APPLIED,
            warrant=by("ana", "order 17 is there"),
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
        await apply_write(books, first)
        await apply_write(books, an_intent(lane="order:1"))
        await apply_write(books, an_intent(lane="order:2"))
        await books.journal.finish(first.intent_id, WriteState.PARKED, reason="no")
        (found,) = books.desk.lane_counts()
        assert (found.group, found.towards) == ("orders", Side.MODERN)
        assert (found.lanes, found.writes, found.parked) == (2, 3, 1)
        assert 0 <= found.oldest_age_s < 60

    asyncio.run(check())


def test_switches_grow_the_epoch_and_chain_their_history(books: Books) -> None:
    desk = books.desk
    desk.ensure_groups(["orders", "customers"])
    desk.switch("orders", Stage.DUAL, expected_epoch=0, warrant=by("ana", "begin"))
    desk.switch("customers", Stage.DUAL, expected_epoch=0, warrant=by("ben", "begin"))
    with pytest.raises(StaleEpoch):
        desk.switch("orders", Stage.MODERN, expected_epoch=0, warrant=by("ana", "late"))
    back = desk.switch("orders", Stage.LEGACY, expected_epoch=1, warrant=by("ana", "errors"))
    assert (back.epoch, back.from_stage, back.to_stage) == (2, Stage.DUAL, Stage.LEGACY)
    state = desk.group("orders")
    assert state is not None
    assert (state.stage, state.epoch) == (Stage.LEGACY, 2)
    assert {found.group for found in desk.groups()} == {"orders", "customers"}
    assert {found.group for found in books.journal.groups()} == {"orders", "customers"}
    history = desk.history()
    check_chain(history)
    assert [record.switch.warrant.reason for record in history] == ["begin", "begin", "errors"]
    with pytest.raises(LogCorrupt):
        check_chain([history[0], *history[2:]])


def test_the_share_of_a_canary_is_kept_with_its_history(books: Books) -> None:
    desk = books.desk
    desk.switch("orders", Stage.DUAL, expected_epoch=0, warrant=by())
    for epoch, share in enumerate((0.07, 33.33, 5.0), start=1):
        desk.switch("orders", Stage.CANARY, expected_epoch=epoch, warrant=by(), share_percent=share)
        for found in (desk.group("orders"), *desk.groups(), *books.journal.groups()):
            assert found is not None
            assert (found.place, found.epoch) == (Place(Stage.CANARY, share), epoch + 1)
    with pytest.raises(StaleEpoch):
        desk.switch("orders", Stage.CANARY, expected_epoch=3, warrant=by(), share_percent=50.0)
    with pytest.raises(StaleEpoch):
        asyncio.run(books.journal.open(an_intent(lane="order:1", epoch=3)))
    desk.switch("orders", Stage.MODERN, expected_epoch=4, warrant=by())
    assert desk.groups()[0].place == Place(Stage.MODERN)
    history = desk.history()
    check_chain(history)
    assert [str(record.switch.to_place) for record in history] == [
        "dual", "canary 0.07 %", "canary 33.33 %", "canary 5 %", "modern",
    ]  # fmt: skip
    changed = dataclasses.replace(history[1].switch, to_share_percent=7.0)
    with pytest.raises(LogCorrupt):
        check_chain([history[0], history[1]._replace(switch=changed), *history[2:]])
    shares = [
        (draft.fields["action"], draft.fields.get("from_share"), draft.fields.get("to_share"))
        for _, draft in desk.pending(100)
    ]
    assert shares == [
        ("switch", None, None),
        ("switch", None, "0.07"),
        ("switch", "0.07", "33.33"),
        ("rollback", "33.33", "5"),
        ("switch", "5", None),
    ]


def test_forcing_a_side_is_kept_with_its_entry(books: Books) -> None:
    desk = books.desk
    desk.switch("orders", Stage.SHADOW, expected_epoch=0, warrant=by())
    draft = action_draft(EntryKind.ROUTE, "side-force", by(), at=datetime.now(UTC))
    assert desk.force("orders", 2_000.5, draft).forced_until == 2_000.5
    assert desk.force("orders", 1_000.5, draft._replace(entry_id="other")).forced_until == 2_000.5
    assert [state.forced_until for state in books.journal.groups()] == [2_000.5]
    assert [each.fields["action"] for _, each in desk.pending(9)][1:] == ["side-force"] * 2
    desk.switch("orders", Stage.DUAL, expected_epoch=1, warrant=by())
    assert desk.groups()[0].forced_until == 2_000.5


def test_entries_wait_for_the_event_log_and_name_nobody(books: Books) -> None:
    async def check() -> None:
        desk = books.desk
        desk.switch("orders", Stage.DUAL, expected_epoch=0, warrant=by("ana", "begin"))
        secret = an_intent(lane="customer:canary-4711", epoch=1)
        await apply_write(books, secret)
        await books.journal.finish(secret.intent_id, WriteState.PARKED, reason="modern said no")
        desk.skip(secret.intent_id, warrant=by("ana", "by hand"))
        lost = an_intent(lane="customer:canary-4712", epoch=1)
        await books.journal.open(lost)
        await books.journal.settle(lost.intent_id, WriteState.IN_DOUBT, reason="lost")
        desk.resolve(lost.intent_id, WriteState.FAILED, warrant=by("ana", "not there"))
        desk.import_ids("orders", "customer", [("canary-4713", "m")], by())
        pending = desk.pending(100)
        told = [
            (draft.kind.value, draft.fields["action"], draft.fields["to"])
            if "intent" in draft.fields
            else (draft.kind.value, draft.fields["action"])
            for _, draft in pending
        ]
        assert told == [
            ("route", "switch"),
            ("dualwrite", "write", "parked"),
            ("dualwrite", "write-skip", "skipped"),
            ("dualwrite", "write", "in_doubt"),
            ("dualwrite", "write-resolve", "failed"),
            ("dualwrite", "ids-import"),
        ]
        assert len({draft.entry_id for _, draft in pending}) == len(pending)
        assert "canary" not in repr(pending)
        assert [draft.fields["outcome"] for _, draft in pending] == [
            "done", "failed", "done", "failed", "done", "done",
        ]  # fmt: skip
        for _, draft in pending:
            assert {"actor", "action", "outcome", "time", "recordedtime"} <= draft.fields.keys()
            assert "reason" not in draft.fields
        skipped = pending[2][1]
        assert skipped.fields["actor"] == by("ana").actor.as_json()
        assert skipped.fields["ticket"] == "T-1"
        assert json.loads(skipped.payload)["reason"] == "by hand"
        assert pending[1][1].fields["actor"]["type"] == "gateway"
        assert json.loads(pending[1][1].payload)["reason"] == "modern said no"
        desk.discard(pending[2][0])
        assert desk.pending(100) == pending[3:]

    asyncio.run(check())
