"""Read a slot in one form or the other, down to whole transactions that can be compared."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import psycopg

from adapters.postgres.server import PostgresServer
from adapters.postgres.stream import PostgresChangeStream, StreamForm
from bridge.capture.protocol.stage_files import FileStage, StageFolder
from bridge.capture.protocol.walsender import EPOCH
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


class FormReader:
    """Reads a slot in a form, and falls back to the ordinary one as a source does."""

    def __init__(
        self, dsn: str, slot: str, publication: str, form: StreamForm, start_lsn: int = 0
    ) -> None:
        self._names = (dsn, slot, publication)
        self._form = form
        self._start_lsn = start_lsn
        self._refused = False
        self._stream = self._open()
        self.parts: list[TransactionPart] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stream.close()

    def receive(self, timeout_ms: int) -> int | None:
        """Take what is there; return the position."""
        try:
            received = self._stream.receive(1_000, timeout_ms)
        except SourceUnavailable:
            if not self._refused or self._form.stages is None:
                raise
            self._stream.close()
            while self.parts and not self.parts[-1].final:
                self.parts.pop()
            self._start_lsn = max([self._start_lsn, *(part.end_lsn or 0 for part in self.parts)])
            self._form = StreamForm(origin=self._form.origin)
            self._stream = self._open()
            return None
        self.parts += received.parts
        return received.position

    def read_until(self, end_lsn: int) -> list[TransactionPart]:
        """Read on to `end_lsn`; return the parts of what committed before it."""
        wait_until(lambda: (self.receive(100) or 0) >= end_lsn, 60, "the end of the stream")
        # What comes behind may be there already.
        return [part for part in self.parts if part.commit_lsn < end_lsn]

    def _open(self) -> PostgresChangeStream:
        return open_stream(*self._names, self._start_lsn, self._form, refuse_streaming=self._refuse)

    def _refuse(self) -> None:
        self._refused = True


def read(
    dsn: str, slot: str, publication: str, end_lsn: int, form: StreamForm, start_lsn: int = 0
) -> list[TransactionPart]:
    """Read all up to `end_lsn`."""
    with FormReader(dsn, slot, publication, form, start_lsn) as reader:
        return reader.read_until(end_lsn)


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
