"""One request of ours beside a client's: sent once, its answer gathered within bounds.

Belongs to one event loop. Whatever the other end does (hangs, floods, dies, talks nonsense) ends
here, as a word for a count.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.shadow.limits import BudgetCopy
from bridge.gateway.shadow.spool import SpooledCopy
from bridge.gateway.upstream_ports import Failure, UpstreamConnection, UpstreamPool

TOO_LARGE: Final = "answer_too_large"


class CopyCall:
    """See the module. `ended` is called exactly once, unless `abort` came first."""

    __slots__ = (
        "_aborted", "_data", "_ended", "_link", "_method", "_ordered", "_pool", "_reader",
        "_repeatable", "_room", "_spooled", "answer", "asked", "began_at", "ended_at", "failure",
        "head",
    )  # fmt: skip

    def __init__(
        self,
        pool: UpstreamPool,
        method: bytes,
        data: bytes,
        answer: BudgetCopy,
        ended: "Callable[[CopyCall], None]",
        *,
        spooled: SpooledCopy | None = None,
        repeatable: bool = False,
        asked: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        """`data` is the head and, unless `spooled` holds it, the body.

        `asked`: (entity, id in this request) → id that the client used.
        """
        self._pool = pool
        self._method = method
        self._data = data
        self._ended = ended
        self._spooled = spooled
        self._repeatable = repeatable
        self._link: UpstreamConnection | None = None
        self._ordered = False
        self._aborted = False
        self._reader: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self.asked = asked or {}
        self.answer = answer
        self.head: ResponseHead | None = None
        self.failure = ""
        """Why there is no whole answer, as a word for a count."""
        self.began_at = 0.0
        self.ended_at = 0.0

    @property
    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self.ended_at > 0 or self._aborted

    @property
    def whole(self) -> bool:
        """Whether its answer is whole."""
        return self.ended_at > 0 and not self.failure

    def begin(self) -> None:
        """Send it, or order a connection first."""
        self.began_at = time.monotonic()
        link = self._pool.take(checked=not self._repeatable)
        if link is None:
            self._ordered = True
            self._pool.order(self)
        else:
            self._start(link)

    def abort(self) -> None:
        """Give it up; nobody is told."""
        self._aborted = True
        self._ended = _told
        self._let_go()
        self.answer.release()

    def expire(self) -> None:
        """Give it up because it is too old."""
        if not self.done:
            self._fail("timeout")

    # -- from the upstream ----------------------------------------------------------------------

    def connected(self, connection: UpstreamConnection) -> None:
        """Send what was waiting for a connection."""
        self._ordered = False
        if self.done:
            connection.abort()
        else:
            self._start(connection)

    def interim(self, head: ResponseHead) -> None:
        """Nobody waits for it."""

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Take the final answer's head and what came with it."""
        self.head = head
        if ended:
            # The connection is its pool's again.
            self._link = None
        if body and not self.answer.add(body):
            self._fail(TOO_LARGE)
        elif ended:
            self._finish()

    def more(self, data: bytes) -> None:
        """Take more of the body."""
        if not self.done and not self.answer.add(data):
            # A flood: the connection ends with what it still wanted to say.
            self._fail(TOO_LARGE)

    def ended(self) -> None:
        """The body is whole."""
        self._link = None
        if not self.done:
            self._finish()

    def trailers(self, lines: list[bytes]) -> None:
        """They are not compared."""

    def switched(self, head: ResponseHead) -> None:
        """No copy asks for a tunnel."""
        self._fail("malformed")

    def failed(self, failure: Failure) -> None:
        """There will be no whole answer."""
        self._link = None
        self._ordered = False
        if self.done:
            return
        if failure.stale and self._repeatable:
            # Closed while it was idle; a safe request goes once more, over a connection of today.
            self._repeatable = False
            self._ordered = True
            self._pool.order(self)
            return
        self._fail(failure.kind.value)

    def pause_sending(self) -> None:
        """It reads slowly: no more is read from disk."""
        if self._room is not None:
            self._room.clear()

    def resume_sending(self) -> None:
        """It has caught up."""
        if self._room is not None:
            self._room.set()

    # -- inside ---------------------------------------------------------------------------------

    def _start(self, link: UpstreamConnection) -> None:
        self._link = link
        whole = self._spooled is None
        link.start(self, self._method, self._data, complete=whole)
        if not whole:
            self._room = asyncio.Event()
            self._room.set()
            self._reader = asyncio.get_running_loop().create_task(self._send_spooled())

    async def _send_spooled(self) -> None:
        spooled, room = self._spooled, self._room
        assert spooled is not None
        assert room is not None
        offset = 0
        try:
            while offset < spooled.size:
                data = await spooled.read(offset)
                if not data:
                    raise OSError("the file is shorter than what was written to it")
                offset += len(data)
                await room.wait()
                if self._link is None or self.done:
                    return
                if offset >= spooled.size:
                    self._link.finish()
                self._link.send(data)
        except OSError:
            if not self.done:
                self._fail("spool")

    def _finish(self) -> None:
        self.ended_at = time.monotonic()
        self._tell()

    def _tell(self) -> None:
        # Whoever hears of it holds this call: a cycle would leave both to the garbage collector.
        ended, self._ended = self._ended, _told
        ended(self)

    def _fail(self, reason: str) -> None:
        if self.done:
            return
        self.failure = reason
        self.ended_at = time.monotonic()
        self._let_go()
        self.answer.release()
        self._tell()

    def _let_go(self) -> None:
        if self._link is not None:
            self._link.abort()
            self._link = None
        if self._ordered:
            self._ordered = False
            self._pool.cancel(self)
        if self._reader is not None:
            self._reader.cancel()
            self._reader = None


def _told(call: CopyCall) -> None:
    """Nobody waits for it any more."""
