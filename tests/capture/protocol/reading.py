"""Read a slot in one form or the other, down to whole transactions that can be compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from adapters.postgres.server import PostgresServer
from adapters.postgres.stream import PostgresChangeStream, StreamForm
from bridge.capture.stage_files import FileStage, StageFolder
from bridge.capture.walsender import EPOCH
from bridge.model.change import Change, TransactionPart
from bridge.model.errors import SourceUnavailable
from bridge.model.lsn import parse_lsn
from tests.waiting import wait_until


class CountingStages(StageFolder):
    """Counts the transactions that were streamed."""

    def __init__(self, folder: Path, **limits: int) -> None:
        super().__init__(folder, **limits)
        self.created = 0

    def create(self, xid: int) -> FileStage:
        """As the folder."""
        self.created += 1
        return super().create(xid)


class Whole(NamedTuple):
    """A transaction, its parts joined."""

    xid: int
    commit_lsn: int
    end_lsn: int
    commit_time: datetime
    origin: str | None
    changes: list[Change]


def open_stream(
    dsn: str, slot: str, publication: str, start_lsn: int, form: StreamForm, **options: Any
) -> PostgresChangeStream:
    """Open a stream of our own; the caller closes it."""
    server = PostgresServer(dsn, application_name="test")
    connection = server.connect_replication()
    try:
        return PostgresChangeStream(
            server,
            connection,
            slot=slot,
            publications=(publication,),
            start_lsn=start_lsn,
            form=form,
            **options,
        )
    except BaseException:
        connection.close()
        raise


@contextmanager
def streaming(
    dsn: str, slot: str, publication: str, start_lsn: int, form: StreamForm, **options: Any
) -> Iterator[PostgresChangeStream]:
    """Open a stream for the duration of the block."""
    stream = open_stream(dsn, slot, publication, start_lsn, form, **options)
    try:
        yield stream
    finally:
        stream.close()


def receive_until(
    stream: PostgresChangeStream, end_lsn: int, parts: list[TransactionPart]
) -> list[TransactionPart]:
    """Add what `stream` gives to `parts` until its position is at `end_lsn`; return `parts`."""

    def there() -> bool:
        received = stream.receive(1_000, 100)
        parts.extend(received.parts)
        return received.position is not None and received.position >= end_lsn

    wait_until(there, 60, "the stream to reach the end")
    return parts


def read(
    dsn: str, slot: str, publication: str, end_lsn: int, form: StreamForm, start_lsn: int = 0
) -> list[TransactionPart]:
    """Read all up to `end_lsn`, falling back to the ordinary form as a source does."""
    parts: list[TransactionPart] = []
    refusals: list[bool] = []
    while True:
        form = StreamForm(stages=None, origin=form.origin) if refusals else form
        try:
            with streaming(
                dsn,
                slot,
                publication,
                start_lsn,
                form,
                refuse_streaming=lambda: refusals.append(True),
            ) as stream:
                return receive_until(stream, end_lsn, parts)
        except SourceUnavailable:
            if len(refusals) != 1 or form.stages is None:
                raise
            while parts and not parts[-1].final:
                parts.pop()
            start_lsn = parts[-1].end_lsn or 0 if parts else start_lsn


def joined(parts: list[TransactionPart]) -> list[Whole]:
    """Return the transactions of `parts` that have a change, having checked how they were parted.

    One of which everything was taken back comes without changes if it was streamed, and not at
    all in the ordinary form (from 15).
    """
    wholes = []
    changes: list[Change] = []
    for part in parts:
        assert part.first_ordinal == len(changes), "parts are in order"
        assert (part.end_lsn is not None) == part.final
        changes += part.changes
        if part.change_count is not None:
            assert len(changes) <= part.change_count
        if part.end_lsn is not None:
            assert part.change_count == len(changes)
            # A message outside of transactions has the time of its sending.
            time = part.commit_time if part.xid else EPOCH
            whole = Whole(part.xid, part.commit_lsn, part.end_lsn, time, part.origin, changes)
            wholes += [whole] if changes else []
            changes = []
    assert not changes, "the last part is final"
    return wholes


def wal_end(sql: psycopg.Connection) -> int:
    """Return the end of the WAL now."""
    row = sql.execute("select pg_current_wal_insert_lsn()::text").fetchone()
    assert row is not None
    return parse_lsn(row[0])
