"""What only PostgreSQL must show: several replicas, lost connections and answers, leases."""

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import psycopg
import pytest

from bridge.demo.servers import PrivatePostgres
from bridge.gateway.dual.ports import LaneState
from bridge.model.errors import ConfigInvalid, LaneBusy, StorageUnavailable
from bridge.model.stage import Place, Stage
from bridge.model.write import WriteState
from bridge.storage.journal import postgres_commit, postgres_connection
from bridge.storage.journal.postgres import PostgresJournal
from bridge.storage.journal.postgres_connection import TimedConnection
from bridge.storage.journal.postgres_desk import PostgresJournalDesk
from bridge.storage.journal.postgres_schema import UPGRADES
from bridge.storage.journal.postgres_steps import Step, run_steps
from bridge.switching.history import check_chain
from tests.storage.journal_kit import Books, an_answer, an_intent, apply_write
from tests.waiting import wait_until_async
from tests.warrants import by
from tests.wire import Wire


@pytest.fixture
def severable(
    journal_dsn: str, wire: Callable[[int | str], Wire], desk: PostgresJournalDesk
) -> Iterator[tuple[Wire, PostgresJournal]]:
    cut = wire(journal_dsn)
    with closing(PostgresJournal(cut.through(journal_dsn))) as journal:
        yield cut, journal


def test_replicas_at_the_same_lanes_and_keys_never_share_one(
    journal_dsn: str, desk: PostgresJournalDesk
) -> None:
    journals = [PostgresJournal(journal_dsn) for _ in range(3)]
    keys = [f"k{number}" for number in range(40)]

    async def work(journal: PostgresJournal, seed: int) -> list[str]:
        shuffled = keys[:]
        random.Random(seed).shuffle(shuffled)
        opened = await asyncio.gather(
            # Lanes in one order, client keys in another: what would make deadlocks.
            *(
                journal.open(an_intent(lane=f"order:{key}", client_key=other))
                for key, other in zip(keys, shuffled, strict=True)
            ),
            return_exceptions=True,
        )
        return [key for key, result in zip(keys, opened, strict=True) if result is None]

    async def check() -> None:
        found = await asyncio.gather(*(work(one, seed) for seed, one in enumerate(journals)))
        opened = [key for keys in found for key in keys]
        assert len(opened) == len(set(opened)) >= 14
        listed = desk.list_writes(state=WriteState.INTENT)
        assert len({write.intent.lane for write in listed}) == len(listed) == len(opened)
        assert len({write.intent.client_key for write in listed}) == len(listed)

    asyncio.run(check())
    for journal in journals:
        journal.close()
    with psycopg.connect(journal_dsn) as other:
        row = other.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = 'test_journal'")
        assert row.fetchone() == (0,)


def test_one_lane_is_sequenced_in_the_order_of_its_outcomes_over_replicas(
    journal_dsn: str, desk: PostgresJournalDesk
) -> None:
    journals = [PostgresJournal(journal_dsn) for _ in range(2)]
    outcomes: list[tuple[int, str]] = []

    async def write(journal: PostgresJournal) -> None:
        intent = an_intent(lane="order:1")

        async def opened() -> bool:
            try:
                await journal.open(intent)
            except LaneBusy:
                return False
            return True

        await wait_until_async(opened)
        sequence = await journal.settle(intent.intent_id, WriteState.APPLIED)
        assert sequence is not None
        outcomes.append((sequence, intent.intent_id))

    async def check() -> None:
        await asyncio.gather(*(write(journals[number % 2]) for number in range(20)))
        for _, intent_id in sorted(outcomes):
            head = journals[0].head("orders", "order:1")
            assert head is not None
            assert head.intent.intent_id == intent_id
            await journals[1].finish(intent_id, WriteState.DONE)

    asyncio.run(check())
    for journal in journals:
        journal.close()


def test_what_becomes_visible_late_is_never_skipped(journal_dsn: str, shared: Books) -> None:
    async def check() -> None:
        late = an_intent(lane="order:late")
        await shared.journal.open(late)
        with psycopg.connect(journal_dsn) as slow:
            # A settlement of another replica that has its numbers and is not committed yet.
            slow.execute(
                "INSERT INTO bridge_journal.lane_entries (group_name, lane, towards, write_number) "
                "SELECT 'orders', lane, 'modern', number FROM bridge_journal.writes "
                "WHERE intent_id = %s",
                (late.intent_id,),
            )
            slow.execute(
                "INSERT INTO bridge_journal.pending_entries (kind, entry_id, fields, payload) "
                "VALUES ('dualwrite', 'late', '{}', '')"
            )
            quick = an_intent(lane="order:quick")
            await apply_write(shared, quick)
            await shared.journal.finish(quick.intent_id, WriteState.PARKED, reason="no")
            news = shared.journal.news(0, 10)
            pending = shared.desk.pending(10)
            if pending:
                shared.desk.discard(pending[-1][0])
            slow.commit()
        lanes = [lane for _, lane, _ in (*news.lanes, *shared.journal.news(news.through, 10).lanes)]
        assert sorted(lanes) == ["order:late", "order:quick"]
        told = [draft.entry_id for _, draft in (*pending, *shared.desk.pending(10))]
        assert len(told) == 2
        assert "late" in told

    asyncio.run(check())


def test_a_lost_answer_of_a_commit_does_the_thing_once(
    shared: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit happened and the connection broke before its answer: it is run again."""
    lost: list[object] = []

    def act_then_fail(connection: TimedConnection, steps: Sequence[Step]) -> list[object]:
        results = run_steps(connection, steps)
        if not lost:
            lost.append(steps)
            connection.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return results

    monkeypatch.setattr(postgres_commit, "run_steps", act_then_fail)

    async def check() -> None:
        journal = shared.journal
        intent = an_intent()
        await journal.open(intent)
        lost.clear()
        sequence = await journal.settle(intent.intent_id, WriteState.APPLIED, response=an_answer())
        lost.clear()
        await journal.finish(intent.intent_id, WriteState.DONE)
        write = shared.desk.show(intent.intent_id)
        assert write is not None
        assert (write.state, write.sequence, write.response) == (
            WriteState.DONE, sequence, an_answer()
        )  # fmt: skip
        assert sequence is not None
        assert len(shared.desk.pending(10)) == 1
        assert lost

    asyncio.run(check())


def test_an_intent_whose_answer_never_came_does_not_hold_its_lane(
    severable: tuple[Wire, PostgresJournal], desk: PostgresJournalDesk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cut, journal = severable
    monkeypatch.setattr(postgres_connection, "PATIENCE_S", 0.3)

    async def check() -> None:
        await journal.open(an_intent())
        cut.deaf(answers_only=True)
        lost = an_intent(lane="order:1", client_key="k")
        with pytest.raises(StorageUnavailable):
            await journal.open(lost)
        # It is there, and its client was told that nothing was done.
        assert desk.show(lost.intent_id) is not None
        cut.resume()
        await wait_until_async(
            lambda: (write := desk.show(lost.intent_id)) and write.state is WriteState.FAILED
        )
        await journal.open(an_intent(lane="order:1", client_key="k"))

    asyncio.run(check())


def test_a_cut_connection_costs_nothing_but_time(
    severable: tuple[Wire, PostgresJournal],
) -> None:
    cut, journal = severable

    async def check() -> None:
        await journal.open(an_intent(lane="order:1"))
        assert journal.lane_state("orders", "order:1").in_flight
        cut.cut()
        await journal.open(an_intent(lane="order:2"))
        assert journal.lane_state("orders", "order:2").in_flight
        cut.refuse()
        cut.cut()
        with pytest.raises(StorageUnavailable, match="cannot write to the journal in database"):
            await journal.open(an_intent(lane="order:3"))
        with pytest.raises(StorageUnavailable, match="cannot read"):
            journal.lane_state("orders", "order:1")
        # Nobody waits for a server that did not answer a moment ago.
        began = asyncio.get_running_loop().time()
        with pytest.raises(StorageUnavailable, match="a moment ago"):
            journal.lane_state("orders", "order:1")
        assert asyncio.get_running_loop().time() - began < 0.1
        cut.resume()
        await journal.open(an_intent(lane="order:3"))
        journal._read_again_at = 0
        assert journal.lane_state("orders", "order:4") == LaneState()

    asyncio.run(check())


def test_a_killed_server_loses_nothing_that_was_told(
    postgres: PrivatePostgres, shared: Books
) -> None:
    async def check() -> None:
        told: list[str] = []

        async def write(number: int) -> None:
            for turn in range(1_000):
                intent = an_intent(lane=f"order:{number}:{turn}")
                try:
                    await shared.journal.open(intent)
                    await shared.journal.settle(intent.intent_id, WriteState.APPLIED)
                except StorageUnavailable:
                    return
                told.append(intent.intent_id)

        writing = [asyncio.create_task(write(number)) for number in range(8)]
        await wait_until_async(lambda: len(told) > 50)
        await asyncio.to_thread(postgres.kill)
        await asyncio.gather(*writing)
        await asyncio.to_thread(postgres.restart)
        for intent_id in told:
            write_ = shared.desk.show(intent_id)
            assert write_ is not None
            assert write_.state is WriteState.APPLIED

    asyncio.run(check())


def test_a_journal_of_version_2_is_upgraded_with_its_groups(journal_dsn: str) -> None:
    with psycopg.connect(journal_dsn, autocommit=True) as other:
        for version in (0, 1):
            other.execute(UPGRADES[version])
        other.execute("UPDATE bridge_journal.versions SET version = 2")
        other.execute("INSERT INTO bridge_journal.groups VALUES ('orders', 'dual', 1, true)")
    with closing(PostgresJournalDesk(journal_dsn)) as desk:
        (state,) = desk.groups()
        assert (state.place, state.lanes_held, state.forced_until) == (Place(Stage.DUAL), True, 0)
        desk.switch("orders", Stage.CANARY, expected_epoch=1, warrant=by(), share_percent=2.5)
        assert desk.groups()[0].place == Place(Stage.CANARY, 2.5)
        check_chain(desk.history())


def test_processes_may_make_the_tables_at_once_and_later_ones_are_refused(journal_dsn: str) -> None:
    failures: list[Exception] = []

    def make() -> None:
        try:
            postgres_connection.make_tables(journal_dsn)
        except Exception as exc:
            failures.append(exc)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with psycopg.connect(journal_dsn, autocommit=True) as other:
        other.execute("UPDATE bridge_journal.versions SET version = 99")
    with pytest.raises(ConfigInvalid, match="version 99, this gateway needs 3"):
        PostgresJournal(journal_dsn)
