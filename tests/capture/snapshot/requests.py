"""Requests in memory: the twin of the file that a deployment has."""

import itertools
from collections.abc import Sequence

from bridge.capture.snapshot.ports import RequestAction, SnapshotRequest
from bridge.capture.snapshot.window import Key
from bridge.model.warrant import Warrant
from tests.warrants import by


class MemoryRequests:
    """Implements `SnapshotRequests` and `RequestDesk`."""

    def __init__(self) -> None:
        self._requests: dict[str, SnapshotRequest] = {}
        self._keys: dict[str, list[Key]] = {}
        self.states: dict[str, str] = {}
        self._numbers = itertools.count(1)

    def ask(
        self,
        action: RequestAction,
        warrant: Warrant | None = None,
        *,
        tables: Sequence[str] = (),
        where: str | None = None,
        keys: Sequence[Key] | None = None,
    ) -> str:
        """Make a request; return its id."""
        request_id = f"r{next(self._numbers)}"
        self._keys[request_id] = list(keys or ())
        self._requests[request_id] = SnapshotRequest(
            request_id=request_id,
            action=action,
            tables=tuple(tables),
            where=where,
            key_count=None if keys is None else len(keys),
            warrant=warrant or by(),
        )
        self.states[request_id] = "waiting"
        return request_id

    def waiting(self) -> list[SnapshotRequest]:
        return self._with_state("waiting")

    def taken(self) -> list[SnapshotRequest]:
        return self._with_state("taken")

    def _with_state(self, state: str) -> list[SnapshotRequest]:
        return [
            request
            for request_id, request in list(self._requests.items())
            if self.states[request_id] == state
        ]

    def find(self, request_id: str) -> SnapshotRequest | None:
        return self._requests.get(request_id)

    def keys(self, request_id: str, offset: int, count_max: int) -> list[Key]:
        return self._keys[request_id][offset : offset + count_max]

    def settle(self, request_id: str, state: str) -> None:
        self.states[request_id] = state

    def state(self, request_id: str) -> str:
        return self.states[request_id]
