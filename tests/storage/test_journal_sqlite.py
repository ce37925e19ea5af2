"""What only the file can show: killed writers, locks, a full disk, several processes."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from bridge.gateway.dual.ports import KeyInUse, LaneState, WriteStateForbidden
from bridge.model.errors import LaneBusy, StaleEpoch, StorageUnavailable
from bridge.model.stage import Side
from bridge.model.write import WriteState
from bridge.storage.journal import file as journal_file
from bridge.storage.journal.file import connect
from bridge.storage.journal.sqlite import SqliteJournal
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.storage.journal_kit import an_answer, an_intent
from tests.waiting import wait_until

_AT = "2026-01-01T00:00:00+00:00"

_COMMITTER = """
import asyncio, sys
from pathlib import Path
from bridge.model.write import WriteState
from bridge.storage.journal.sqlite import SqliteJournal
from tests.storage.journal_kit import an_answer, an_intent

journal = SqliteJournal(Path(sys.argv[1]))
name = sys.argv[2]

async def write(number):
    for turn in range(1_000_000):
        intent_id = f"{name}-{number}-{turn}"
        await journal.open(an_intent(intent_id=intent_id, lane=f"order:{intent_id}", owner=name))
        await journal.settle(intent_id, WriteState.APPLIED, response=an_answer())
        print(intent_id, flush=True)

async def main():
    await asyncio.gather(*(write(number) for number in range(8)))

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "journal.db"
    desk = SqliteJournalDesk(made)
    desk.ensure_groups(["orders"])
    desk.close()
    return made


def test_what_was_told_durable_survives_killed_processes(path: Path, tmp_path: Path) -> None:
    # Two at once, killed in the middle of commits, while this process reads and checkpoints.
    desk = SqliteJournalDesk(path)
    told: list[str] = []
    for turn in range(2):
        outputs = [tmp_path / f"{turn}-{name}" for name in "ab"]
        children = []
        for output in outputs:
            with output.open("wb") as out:
                command = [sys.executable, "-c", _COMMITTER, str(path), output.name]
                children.append(subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT))
        for output in outputs:
            wait_until(
                lambda output=output: output.read_text().count("\n") > 60,  # type: ignore[misc]  # called at once
                timeout_s=60,
            )
        for child in children:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
        told += [line for output in outputs for line in output.read_text().split("\n")[:-1]]
    desk.close()
    again = SqliteJournalDesk(path)
    for intent_id in told:
        write = again.show(intent_id)
        assert write is not None, intent_id
        assert (write.state, write.response) == (WriteState.APPLIED, an_answer())
    again.close()
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    check.close()


def test_opening_the_journal_again_leaves_the_locks_of_this_process(path: Path) -> None:
    """Closing a descriptor of the file drops every lock that the process has on it."""
    journal = SqliteJournal(path)
    connect(path).close()
    # Another process that believes to be the last one would remove the log on closing.
    script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM ids')"
    subprocess.run([sys.executable, "-c", f"{script}; c.close()", str(path)], check=True)
    assert path.with_name("journal.db-wal").exists()
    asyncio.run(journal.open(an_intent(lane="order:1")))
    assert journal.lane_state("orders", "order:1") != LaneState()
    journal.close()


def test_only_its_owner_may_read_the_journal(path: Path) -> None:
    journal = SqliteJournal(path)
    asyncio.run(journal.open(an_intent()))
    for file in path.parent.glob("journal.db*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file.name
    journal.close()


def test_a_locked_file_is_unavailable_after_a_bounded_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "BUSY_WAIT_S", 0.1)
    journal = SqliteJournal(path)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable, match="locked"):
        asyncio.run(journal.open(an_intent()))
    # Reads go on meanwhile.
    assert journal.lane_state("orders", "order:1") == LaneState()
    holder.execute("ROLLBACK")
    holder.close()
    asyncio.run(journal.open(an_intent()))
    journal.close()


def test_a_full_disk_is_unavailable_and_passes(path: Path) -> None:
    async def check() -> None:
        pages = journal._reading.execute("PRAGMA page_count").fetchone()[0]

        def limit(connection: sqlite3.Connection, count: int) -> None:
            connection.execute(f"PRAGMA max_page_count = {count}")

        # SQLite then answers as on a full disk: SQLITE_FULL.
        await journal._commits.do(lambda connection: limit(connection, pages))
        large = an_intent(fingerprint="x" * 200_000)
        with pytest.raises(StorageUnavailable, match="full"):
            await journal.open(large)
        assert journal.lane_state("orders", large.lane) == LaneState()
        await journal._commits.do(lambda connection: limit(connection, 1_000_000))
        await journal.open(large)

    journal = SqliteJournal(path)
    asyncio.run(check())
    journal.close()


def test_more_waiting_than_the_bound_is_refused_at_once(path: Path) -> None:
    async def check() -> None:
        opened = await asyncio.gather(
            *(journal.open(an_intent()) for _ in range(50)), return_exceptions=True
        )
        refused = [error for error in opened if isinstance(error, StorageUnavailable)]
        assert refused
        assert opened.count(None) == 50 - len(refused) >= 4

    journal = SqliteJournal(path, waiting_count_max=4)
    asyncio.run(check())
    journal.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        asyncio.run(journal.open(an_intent()))


def test_one_broken_operation_does_not_take_its_neighbours_along(path: Path) -> None:
    async def check() -> None:
        def broken(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO groups (name, stage, epoch, lanes_held) "
                "VALUES ('half', 'legacy', 0, 0)"
            )
            raise ZeroDivisionError

        results = await asyncio.gather(
            journal.open(an_intent(lane="order:1")),
            journal._commits.do(broken),
            journal.open(an_intent(lane="order:1")),
            journal.open(an_intent(lane="order:2")),
            return_exceptions=True,
        )
        kinds = [type(result) for result in results]
        assert kinds == [type(None), ZeroDivisionError, LaneBusy, type(None)]
        assert [state.group for state in journal.groups()] == ["orders"]

    journal = SqliteJournal(path)
    asyncio.run(check())
    journal.close()


def test_two_processes_share_the_lane_lock(path: Path) -> None:
    async def check() -> None:
        await first.open(an_intent(lane="order:1"))
        with pytest.raises(LaneBusy):
            await second.open(an_intent(lane="order:1"))

    first, second = SqliteJournal(path), SqliteJournal(path)
    asyncio.run(check())
    first.close()
    second.close()


def test_tables_of_another_version_are_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(StorageUnavailable, match="version 99, this gateway needs 5"):
        SqliteJournal(path)


def test_the_log_is_copied_back_beside_the_commits(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "_CHECKPOINT_BYTES", 1)
    monkeypatch.setattr(journal_file, "_RESTART_BYTES", 100_000)
    monkeypatch.setattr(journal_file, "_SHRINK_BYTES", 100_000)
    monkeypatch.setattr(journal_file, "_CHECKPOINT_PAUSE_S", 0.01)
    journal = SqliteJournal(path)

    async def fill() -> None:
        for _ in range(20):
            await journal.open(an_intent(fingerprint="x" * 20_000))

    asyncio.run(fill())
    log = path.with_name("journal.db-wal")
    wait_until(lambda: log.stat().st_size <= 100_000)
    journal.close()


def test_the_log_is_written_over_instead_of_growing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_file, "_CHECKPOINT_BYTES", 1)
    monkeypatch.setattr(journal_file, "_RESTART_BYTES", 100_000)
    monkeypatch.setattr(journal_file, "_CHECKPOINT_PAUSE_S", 0.01)
    journal = SqliteJournal(path)
    log = path.with_name("journal.db-wal")
    sizes = []
    for brought in range(400_000, 3_600_000, 400_000):
        asyncio.run(_fill(journal, 20))
        sizes.append(log.stat().st_size)
        # What is in the database need not be in the log any more.
        wait_until(partial(_is_larger, path, brought))
    journal.close()
    assert sizes[-1] < 5 * sizes[0], sizes


def _is_larger(path: Path, size: int) -> bool:
    return path.stat().st_size > size


async def _fill(journal: SqliteJournal, count: int) -> None:
    for _ in range(count):
        await journal.open(an_intent(fingerprint="x" * 20_000))


def test_what_goes_together_in_a_commit_is_judged_one_by_one(path: Path) -> None:
    async def run() -> None:
        journal = SqliteJournal(path)
        try:
            await journal.open(an_intent(intent_id="held", lane="order:held"))
            found = await asyncio.gather(
                journal.open(an_intent(intent_id="a", lane="order:1", client_key="k1")),
                journal.open(an_intent(intent_id="b", lane="order:1")),
                journal.open(an_intent(intent_id="c", lane="order:2", client_key="k1")),
                journal.open(an_intent(intent_id="d", lane="order:3", epoch=7)),
                journal.open(an_intent(intent_id="e", lane="order:held")),
                *(journal.open(an_intent(intent_id=f"n{n}", lane=f"new:{n}")) for n in range(83)),
                return_exceptions=True,
            )
            assert [type(one) for one in found[:5]] == [
                type(None), LaneBusy, KeyInUse, StaleEpoch, LaneBusy,
            ]  # fmt: skip
            assert found[5:] == [None] * 83
            large = an_answer(body=b"x" * 100_000)
            settled = await asyncio.gather(
                journal.settle("a", WriteState.APPLIED, response=large),
                journal.settle("unknown", WriteState.APPLIED),
                journal.settle("n0", WriteState.REJECTED, reason="legacy answered 409"),
                *(
                    journal.settle(f"n{n}", WriteState.APPLIED, response=an_answer())
                    for n in range(1, 83)
                ),
                return_exceptions=True,
            )
            assert isinstance(settled[1], WriteStateForbidden)
            assert settled[2] is None
            sequences = [one for one in (settled[0], *settled[3:]) if isinstance(one, int)]
            assert len(set(sequences)) == 83
            assert sequences == sorted(sequences)
            again = await journal.settle("a", WriteState.APPLIED, response=an_answer())
            assert again == settled[0]
            head = journal.head("orders", "order:1")
            assert head is not None
            assert (head.sequence, head.response) == (settled[0], large)
            assert journal.lane_state("orders", "new:5").unreplayed_to is Side.MODERN
            assert journal.state_of("n0") is WriteState.REJECTED
        finally:
            journal.close()

    asyncio.run(run())


def test_no_commit_copies_the_log_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # SQLite does so by itself in the commit that crosses 4 MB, which then takes as long as that.
    monkeypatch.setattr(journal_file, "_CHECKPOINT_BYTES", 1 << 40)
    monkeypatch.setattr(journal_file, "_RESTART_BYTES", 1 << 40)
    journal = SqliteJournal(path)
    before = path.stat()

    async def fill() -> None:
        for _ in range(8):
            await journal.open(an_intent(fingerprint="x" * 1_000_000))

    asyncio.run(fill())
    after = path.stat()
    assert path.with_name("journal.db-wal").stat().st_size > 8_000_000
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    journal.close()
