"""Queued requests in memory: the twin of those in the journals, for tests and rehearsals."""

from collections.abc import Sequence
from dataclasses import replace

from bridge.gateway.ingress.ports import (
    UNFINISHED,
    Accepted,
    Backlog,
    Kept,
    QueuedRequest,
    QueueState,
)
from bridge.model.entry import EntryDraft
from bridge.model.http import HttpResponse
from bridge.storage.journal.memory_state import JournalState

_Q = QueueState


class MemoryIngressBook:
    """`IngressBook` over a dictionary."""

    def __init__(self, state: JournalState) -> None:
        self._state = state
        self._kept: dict[str, Kept] = {}
        self._ended_at: dict[str, float] = {}

    async def accept(self, queued: QueuedRequest) -> Accepted:
        """See `IngressBook.accept`."""
        for known in self._kept.values():
            same = (known.queued.group, known.queued.route, known.queued.client_key) == (
                queued.group,
                queued.route,
                queued.client_key,
            )
            if known.queued.request_id == queued.request_id or (queued.client_key and same):
                return Accepted(known.queued.request_id, known.queued.fingerprint)
        self._kept[queued.request_id] = Kept(
            queued=queued, state=_Q.WAITING, guarded=False, epoch=0, response=None
        )
        return Accepted(queued.request_id, queued.fingerprint)

    async def begin(self, request_id: str, *, guarded: bool, epoch: int) -> bool:
        """See `IngressBook.begin`."""
        changes = {"state": _Q.BEGUN, "guarded": guarded, "epoch": epoch}
        return self._change(request_id, UNFINISHED, changes)

    async def put_back(self, request_id: str) -> None:
        """See `IngressBook.put_back`."""
        self._change(request_id, {_Q.BEGUN}, {"state": _Q.WAITING})

    async def end(
        self,
        request_id: str,
        state: QueueState,
        response: HttpResponse | None,
        draft: EntryDraft,
    ) -> None:
        """See `IngressBook.end`."""
        if self._change(request_id, UNFINISHED, {"state": state, "response": response}):
            self._ended(request_id, draft)

    async def cancel(self, request_id: str, draft: EntryDraft) -> bool:
        """See `IngressBook.cancel`."""
        cancelled = self._change(request_id, {_Q.WAITING}, {"state": _Q.CANCELLED})
        if cancelled:
            self._ended(request_id, draft)
        return cancelled

    async def expire(self, route: str, ended_before: float, at: float, count_max: int) -> int:
        """See `IngressBook.expire`."""
        old = [
            request_id
            for request_id, ended_at in self._ended_at.items()
            if ended_at < ended_before and self._kept[request_id].queued.route == route
        ]
        count = 0
        for request_id in old:
            kept = self._kept[request_id]
            if kept.state is _Q.EXPIRED:
                del self._kept[request_id], self._ended_at[request_id]
            elif count < count_max:
                count += 1
                bare = replace(kept.queued, client_key=None)
                changed = replace(kept, queued=bare, state=_Q.EXPIRED, response=None)
                self._kept[request_id] = changed
                self._ended_at[request_id] = at
        return count

    def find(self, request_id: str) -> Kept | None:
        """See `IngressBook.find`."""
        return self._kept.get(request_id)

    def unfinished(self, count_max: int) -> Sequence[Kept]:
        """See `IngressBook.unfinished`."""
        return [kept for kept in self._kept.values() if kept.state in UNFINISHED][:count_max]

    def is_unfinished(self, group: str, lane: str) -> bool:
        """See `IngressBook.is_unfinished`."""
        return any(
            (kept.queued.group, kept.queued.lane) == (group, lane)
            for kept in self.unfinished(len(self._kept))
        )

    def backlog(self, group: str, route: str) -> Backlog:
        """See `IngressBook.backlog`."""
        found = [
            len(kept.queued.request.body)
            for kept in self.unfinished(len(self._kept))
            if (kept.queued.group, kept.queued.route) == (group, route)
        ]
        return Backlog(len(found), sum(found))

    def _ended(self, request_id: str, draft: EntryDraft) -> None:
        self._ended_at[request_id] = self._state.clock().timestamp()
        self._state.wait_for_log(draft)

    def _change(
        self, request_id: str, states: "frozenset[_Q] | set[_Q]", changes: dict[str, object]
    ) -> bool:
        kept = self._kept.get(request_id)
        if kept is None or kept.state not in states:
            return False
        self._kept[request_id] = replace(kept, **changes)  # type: ignore[arg-type]  # by field name
        return True
