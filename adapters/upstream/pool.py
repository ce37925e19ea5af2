"""Bounded keep-alive connections to one upstream."""

import asyncio
import select
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

from adapters.upstream.connection import Connection
from adapters.upstream.dialling import SecureDialling, dial, reason
from bridge.gateway.upstream_ports import Failure, FailureKind, UpstreamUser
from bridge.model.observer import Observer, SilentObserver

# A dead upstream fails as often as it is asked for: the log needs one line a second, with a count.
_FAILURES_NOTED_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Bounds of one worker's connections to one upstream."""

    connections_max: int = 128
    """A weak legacy is protected by the number of its connections."""
    waiting_max: int = 1024
    """Requests that wait for a connection; more are refused at once, not queued to time out."""
    wait_ms: int = 3_000
    """Longest wait for a connection, connecting included."""
    idle_ms: int = 1_500
    """Below the shortest keep-alive in common use (gunicorn's 2 s; Node, uvicorn and Apache have
    5 s): a connection that we close cannot be closed by the other end under a request."""


class Pool:
    """See `bridge.gateway.upstream_ports.UpstreamPool`. Belongs to one event loop."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        *,
        limits: PoolLimits | None = None,
        observer: Observer | None = None,
        secure: SecureDialling | None = None,
    ) -> None:
        self.name = name
        self.secure = secure
        self._host = host
        self._port = port
        self._limits = limits or PoolLimits()
        self._observer = observer or SilentObserver()
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._waiting: deque[tuple[UpstreamUser, float]] = deque()
        self._closed = False
        self._idle_s = self._limits.idle_ms / 1000
        self._failures = 0
        self._failures_noted_at = float("-inf")
        address = f"[{host}]" if ":" in host else host
        self.host_line = f"Host: {address}:{port}".encode("ascii")

    @property
    def connection_count(self) -> int:
        """Open connections, idle ones included."""
        return len(self._open)

    def take(self, *, checked: bool) -> Connection | None:
        """Return an idle connection; the latest used first, so that the others may grow old."""
        idle = self._idle
        oldest = time.monotonic() - self._idle_s
        while idle:
            connection = idle.pop()
            if connection.idle_since < oldest or (checked and _has_news(connection)):
                connection.abort()
            elif connection.is_open():
                return connection
        return None

    def order(self, user: UpstreamUser) -> None:
        """Call `user.connected` or `user.failed` once, perhaps before returning."""
        if self._closed or len(self._waiting) >= self._limits.waiting_max:
            user.failed(
                Failure(
                    FailureKind.BUSY,
                    f"upstream {self.name!r} has {len(self._open)} connections and"
                    f" {len(self._waiting)} requests waiting for one",
                )
            )
            return
        self._waiting.append((user, time.monotonic() + self._limits.wait_ms / 1000))
        self._connect_more()

    def cancel(self, user: UpstreamUser) -> None:
        """Forget an order."""
        self._waiting = deque(entry for entry in self._waiting if entry[0] is not user)

    def may_repeat(self) -> bool:
        """Nothing is declared that bounds second tries."""
        return True

    def tick(self, now: float) -> None:
        """Close what is idle too long, fail orders that waited too long."""
        oldest = now - self._idle_s
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.pop(0).abort()
        while self._waiting and self._waiting[0][1] <= now:
            user, _ = self._waiting.popleft()
            full = len(self._open) >= self._limits.connections_max
            user.failed(
                Failure(
                    FailureKind.BUSY if full else FailureKind.CONNECT_TIMEOUT,
                    f"no connection to upstream {self.name!r} within {self._limits.wait_ms} ms",
                )
            )

    def close(self) -> None:
        """Close every connection at once; whoever waits is told."""
        self._closed = True
        for task in self._connecting:
            task.cancel()
        for connection in tuple(self._open):
            connection.abort()
        self._idle.clear()
        while self._waiting:
            user, _ = self._waiting.popleft()
            user.failed(Failure(FailureKind.UNREACHABLE, f"upstream {self.name!r} is closed"))

    def release(self, connection: Connection) -> None:
        """Take back a connection whose exchange has ended well, or that is new.

        Whoever waits for one may have a write to send: a used one is looked at as for `take`.
        """
        if self._closed or (self._waiting and connection.reused and _has_news(connection)):
            connection.abort()  # The pool forgets it then, and connects anew for who waits.
        elif self._waiting:
            self._waiting.popleft()[0].connected(connection)
        else:
            connection.idle_since = time.monotonic()
            self._idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """Strike out a connection that is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._connect_more()

    def _connect_more(self) -> None:
        room = self._limits.connections_max - len(self._open) - len(self._connecting)
        wanted = len(self._waiting) - len(self._connecting)
        for _ in range(min(room, wanted) if not self._closed else 0):
            task = asyncio.get_running_loop().create_task(self._connect())
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._limits.wait_ms / 1000):
                connection = await dial(
                    lambda: Connection(self), self._host, self._port, self.secure
                )
        except OSError as exc:  # TimeoutError is one: the orders' own deadlines tell that.
            self._connecting.discard(self._task())
            self._refused(exc)
            return
        self._connecting.discard(self._task())
        self._open.add(connection)
        self.release(connection)

    @staticmethod
    def _task() -> "asyncio.Task[None]":
        task = asyncio.current_task()
        assert task is not None
        return task

    def _refused(self, exc: OSError) -> None:
        self._note_failure(exc)
        if self._waiting and not isinstance(exc, TimeoutError):
            user, _ = self._waiting.popleft()
            user.failed(
                Failure(
                    FailureKind.UNREACHABLE,
                    # Clients are told neither addresses nor ports of what is inside.
                    f"cannot connect to upstream {self.name!r}: {reason(exc)}",
                )
            )
        self._connect_more()

    def _note_failure(self, exc: OSError) -> None:
        self._failures += 1
        now = time.monotonic()
        if now - self._failures_noted_at < _FAILURES_NOTED_S:
            return
        self._failures_noted_at = now
        failures, self._failures = self._failures, 0
        address = f"{self._host}:{self._port}"
        self._observer.note(
            "connect_failed",
            upstream=self.name,
            address=address,
            error=reason(exc),
            failures=failures,
        )


def _has_news(connection: Connection) -> bool:
    """Whether an idle socket is readable: closed by the other end, or saying what nobody asked.

    Looked at only before a write, whose loss would be in doubt: it costs a system call.
    """
    if not connection.is_open():
        return True
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
