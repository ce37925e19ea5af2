"""Queued requests on PostgreSQL, in the write journal's schema and in its batches."""

from collections.abc import Callable, Sequence
from typing import Any, LiteralString, NamedTuple

from bridge.gateway.ingress.ports import Accepted, Backlog, Kept, QueuedRequest, QueueState
from bridge.model.entry import EntryDraft
from bridge.model.http import HttpResponse
from bridge.storage.journal import ingress_sql as sql
from bridge.storage.journal.ingress_rows import ended_row, kept_of, queued_row
from bridge.storage.journal.postgres_commit import PostgresCommit
from bridge.storage.journal.postgres_steps import Queue

Read = Callable[[LiteralString, Any], list[tuple[Any, ...]]]


class _Key(NamedTuple):
    request_id: str
    group: str
    route: str
    client_key: str | None


class PostgresIngressBook:
    """`IngressBook` over the commit thread and the reading connection of a `PostgresJournal`."""

    def __init__(self, commits: PostgresCommit, read: Read, clock: Callable[[], float]) -> None:
        self._commits = commits
        self._read = read
        self._clock = clock

    async def accept(self, queued: QueuedRequest) -> Accepted:
        """See `IngressBook.accept`."""
        if await self._commits.do(Queue(sql.ACCEPT, queued_row(queued))):
            return Accepted(queued.request_id, queued.fingerprint)
        # There already: by an earlier try whose answer was lost, or by its client's key.
        key = _Key(queued.request_id, queued.group, queued.route, queued.client_key)
        return Accepted._make(self._read(sql.ACCEPTED, key)[0])

    async def begin(self, request_id: str, *, guarded: bool, epoch: int) -> bool:
        """See `IngressBook.begin`."""
        return bool(await self._commits.do(Queue(sql.BEGIN, (guarded, epoch, request_id))))

    async def put_back(self, request_id: str) -> None:
        """See `IngressBook.put_back`."""
        await self._commits.do(Queue(sql.PUT_BACK, (request_id,)))

    async def end(
        self,
        request_id: str,
        state: QueueState,
        response: HttpResponse | None,
        draft: EntryDraft,
    ) -> None:
        """See `IngressBook.end`."""
        values = ended_row(request_id, state, self._clock(), response)
        await self._commits.do(Queue(sql.END, values, draft))

    async def cancel(self, request_id: str, draft: EntryDraft) -> bool:
        """See `IngressBook.cancel`."""
        step = Queue(sql.CANCEL, (self._clock(), request_id), draft)
        return bool(await self._commits.do(step))

    async def expire(self, route: str, ended_before: float, at: float, count_max: int) -> int:
        """See `IngressBook.expire`."""
        await self._commits.do(Queue(sql.FORGET, (route, ended_before, count_max)))
        step = Queue(sql.EXPIRE, (at, route, ended_before, count_max))
        return int(await self._commits.do(step))

    def find(self, request_id: str) -> Kept | None:
        """See `IngressBook.find`."""
        rows = self._read(sql.FIND, (request_id,))
        return kept_of(rows[0]) if rows else None

    def unfinished(self, count_max: int) -> Sequence[Kept]:
        """See `IngressBook.unfinished`."""
        return [kept_of(row) for row in self._read(sql.UNFINISHED, (count_max,))]

    def is_unfinished(self, group: str, lane: str) -> bool:
        """See `IngressBook.is_unfinished`."""
        return bool(self._read(sql.OF_LANE, (group, lane)))

    def backlog(self, group: str, route: str) -> Backlog:
        """See `IngressBook.backlog`."""
        return Backlog._make(self._read(sql.BACKLOG, (group, route))[0])
