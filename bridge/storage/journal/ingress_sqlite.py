"""Queued requests on SQLite, in the write journal's file and in its commits."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Final

from bridge.gateway.ingress.ports import Accepted, Backlog, Kept, QueuedRequest, QueueState
from bridge.model.entry import EntryDraft
from bridge.model.http import HttpResponse
from bridge.storage.journal import ingress_sql as sql
from bridge.storage.journal.commit import GroupCommit
from bridge.storage.journal.file import storage_errors
from bridge.storage.journal.ingress_rows import ended_row, kept_of, queued_row
from bridge.storage.journal.rows import pending_row
from bridge.storage.journal.sql import INSERT_PENDING

_ACCEPT: Final = sql.on_sqlite(sql.ACCEPT)
_ACCEPTED: Final = sql.on_sqlite(sql.ACCEPTED)
_BEGIN: Final = sql.on_sqlite(sql.BEGIN)
_PUT_BACK: Final = sql.on_sqlite(sql.PUT_BACK)
_END: Final = sql.on_sqlite(sql.END)
_CANCEL: Final = sql.on_sqlite(sql.CANCEL)
_EXPIRE: Final = sql.on_sqlite(sql.EXPIRE)
_FORGET: Final = sql.on_sqlite(sql.FORGET)
_FIND: Final = sql.on_sqlite(sql.FIND)
_UNFINISHED: Final = sql.on_sqlite(sql.UNFINISHED)
_OF_LANE: Final = sql.on_sqlite(sql.OF_LANE)
_BACKLOG: Final = sql.on_sqlite(sql.BACKLOG)


class SqliteIngressBook:
    """`IngressBook` over the commit thread and the reading connection of a `SqliteJournal`."""

    def __init__(
        self, commits: GroupCommit, reading: sqlite3.Connection, clock: Callable[[], float]
    ) -> None:
        self._commits = commits
        self._reading = reading
        self._clock = clock

    async def accept(self, queued: QueuedRequest) -> Accepted:
        """See `IngressBook.accept`."""
        key = (queued.request_id, queued.group, queued.route, queued.client_key)

        def accept(connection: sqlite3.Connection) -> Accepted:
            connection.execute(_ACCEPT, queued_row(queued)).fetchall()
            return Accepted._make(connection.execute(_ACCEPTED, key).fetchone())

        return await self._commits.do(accept)

    async def begin(self, request_id: str, *, guarded: bool, epoch: int) -> bool:
        """See `IngressBook.begin`."""
        values = (guarded, epoch, request_id)
        return await self._commits.do(lambda one: bool(one.execute(_BEGIN, values).fetchall()))

    async def put_back(self, request_id: str) -> None:
        """See `IngressBook.put_back`."""
        await self._commits.do(lambda one: one.execute(_PUT_BACK, (request_id,)).rowcount)

    async def end(
        self,
        request_id: str,
        state: QueueState,
        response: HttpResponse | None,
        draft: EntryDraft,
    ) -> None:
        """See `IngressBook.end`."""
        values = ended_row(request_id, state, self._clock(), response)
        await self._commits.do(lambda one: _told(one, _END, values, draft))

    async def cancel(self, request_id: str, draft: EntryDraft) -> bool:
        """See `IngressBook.cancel`."""
        values = (self._clock(), request_id)
        return await self._commits.do(lambda one: _told(one, _CANCEL, values, draft))

    async def expire(self, route: str, ended_before: float, at: float, count_max: int) -> int:
        """See `IngressBook.expire`."""

        def expire(connection: sqlite3.Connection) -> int:
            connection.execute(_FORGET, (route, ended_before, count_max))
            values = (at, route, ended_before, count_max)
            return connection.execute(_EXPIRE, values).rowcount

        return await self._commits.do(expire)

    def find(self, request_id: str) -> Kept | None:
        """See `IngressBook.find`."""
        with storage_errors("read a queued request"):
            row = self._reading.execute(_FIND, (request_id,)).fetchone()
        return None if row is None else kept_of(row)

    def unfinished(self, count_max: int) -> Sequence[Kept]:
        """See `IngressBook.unfinished`."""
        with storage_errors("read queued requests"):
            rows = self._reading.execute(_UNFINISHED, (count_max,)).fetchall()
        return [kept_of(row) for row in rows]

    def is_unfinished(self, group: str, lane: str) -> bool:
        """See `IngressBook.is_unfinished`."""
        with storage_errors("look for queued requests of a key"):
            return self._reading.execute(_OF_LANE, (group, lane)).fetchone() is not None

    def backlog(self, group: str, route: str) -> Backlog:
        """See `IngressBook.backlog`."""
        with storage_errors("count queued requests"):
            return Backlog._make(self._reading.execute(_BACKLOG, (group, route)).fetchone())


def _told(
    connection: sqlite3.Connection, statement: str, values: tuple[object, ...], draft: EntryDraft
) -> bool:
    changed = bool(connection.execute(statement, values).fetchall())
    if changed:
        connection.execute(INSERT_PENDING, pending_row(draft))
    return changed
