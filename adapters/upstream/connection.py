"""One keep-alive connection to an upstream: one exchange at a time, never half read and reused."""

import asyncio
from typing import Final, Protocol, cast

from bridge.gateway.http.chunked import ChunkedDecoder
from bridge.gateway.http.framing import CHUNKED, HEAD_BYTES_MAX, UNTIL_CLOSE, MessageRefused
from bridge.gateway.http.response_head import ResponseHead, ResponseReader
from bridge.gateway.transports import half_close, read_in_pieces
from bridge.gateway.upstream_ports import Failure, FailureKind, UpstreamUser

# An upstream that goes on with 103s for ever would hold the client without ever answering.
_INTERIMS_MAX: Final = 16
# What is written to a slow upstream waits here; the client is not read meanwhile.
_SEND_BUFFER_BYTES_MAX: Final = 262_144


class Home(Protocol):
    """The pool that a connection belongs to."""

    name: str

    def release(self, connection: "Connection") -> None:
        """Take back a connection whose exchange has ended well."""

    def forget(self, connection: "Connection") -> None:
        """Strike out a connection that is gone."""


_IDLE, _HEAD, _LENGTH, _CHUNKED, _CLOSE, _TUNNEL, _GONE = range(7)


class Connection(asyncio.Protocol):
    """See `bridge.gateway.upstream_ports.UpstreamConnection`."""

    __slots__ = (
        "_buffer", "_complete", "_decoder", "_heads", "_interims", "_keep_alive", "_left",
        "_method", "_paused", "_pool", "_step", "_transport", "_user", "idle_since", "reused",
    )  # fmt: skip

    def __init__(self, pool: Home) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._user: UpstreamUser | None = None
        self._step = _IDLE
        self._method = b""
        self._complete = True
        self._buffer = b""
        self._heads = ResponseReader()
        self._left = 0
        self._decoder: ChunkedDecoder | None = None
        self._keep_alive = True
        self._interims = 0
        self._paused = False
        self.reused = False
        self.idle_since = 0.0

    # -- what the user does ---------------------------------------------------------------------

    def start(self, user: UpstreamUser, method: bytes, data: bytes, *, complete: bool) -> None:
        """Send the head, and perhaps the body."""
        assert self._step == _IDLE, "not an idle connection"
        assert self._transport is not None
        self._user = user
        self._method = method
        self._complete = complete
        self._interims = 0
        self._step = _HEAD
        self._transport.write(data)

    def send(self, data: bytes) -> None:
        """Send more of the request, or of the tunnel."""
        if self._user is not None and self._transport is not None:
            self._transport.write(data)

    def finish(self) -> None:
        """Say that the request is complete; in a tunnel, that we send no more."""
        self._complete = True
        transport = self._transport
        if self._step == _TUNNEL and transport is not None:
            half_close(transport)

    def hand_over(self, user: UpstreamUser) -> None:
        """From now on tell `user` instead."""
        if self._user is not None:
            self._user = user

    def pause_reading(self) -> None:
        """Read no more for a while."""
        if self._user is not None and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._paused and self._transport is not None:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def abort(self, *, late: bool = False) -> None:
        """End the exchange and close the connection, without a word to the user."""
        self._user = None
        self._step = _GONE
        if self._transport is not None:
            self._transport.abort()

    # -- what the pool does ---------------------------------------------------------------------

    def is_open(self) -> bool:
        """Whether an idle connection looks usable."""
        transport = self._transport
        return self._step == _IDLE and transport is not None and not transport.is_closing()

    def fileno(self) -> int:
        """Return the socket's descriptor, or -1."""
        assert self._transport is not None
        return cast(int, self._transport.get_extra_info("socket").fileno())

    # -- what the event loop does ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_SEND_BUFFER_BYTES_MAX)
        read_in_pieces(transport)

    def pause_writing(self) -> None:
        """The upstream reads slowly."""
        if self._user is not None:
            self._user.pause_sending()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._user is not None:
            self._user.resume_sending()

    def data_received(self, data: bytes) -> None:
        """Take bytes of the answer, or of the tunnel."""
        step = self._step
        user = self._user
        if user is None:
            # An answer that nobody asked for: whatever it is, it is not the next one's beginning.
            self.abort()
        elif step == _HEAD:
            self._head(data)
        elif step == _LENGTH:
            self._length(user, data)
        elif step == _CHUNKED:
            self._chunks(user, data)
        elif data:
            user.more(data)

    def eof_received(self) -> bool:
        """Take the end of what the upstream sends."""
        user = self._user
        if user is not None and self._step == _CLOSE:
            self._user = None
            self._step = _GONE
            user.ended()
        elif user is not None and self._step == _TUNNEL:
            user.ended()
            return True  # The other direction may go on: half-close is the tunnel's right.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell pool and user."""
        user, step = self._user, self._step
        self._user = None
        self._step = _GONE
        self._pool.forget(self)
        if user is None:
            return
        early = step == _HEAD and not self._buffer and self._interims == 0
        why = "reset" if exc is not None else "closed"
        where = "before an answer" if early else "within the answer"
        user.failed(
            Failure(
                FailureKind.LOST,
                f"upstream {self._pool.name!r} {why} the connection {where}",
                stale=early and self.reused,
            )
        )

    # -- the answer -----------------------------------------------------------------------------

    def _head(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while True:
            end = data.find(b"\r\n\r\n")
            if end > HEAD_BYTES_MAX or (end < 0 and len(data) > HEAD_BYTES_MAX):
                self._malformed(f"head over {HEAD_BYTES_MAX} bytes")
                return
            if end < 0:
                self._buffer = data
                return
            try:
                head = self._heads.read(data[:end], self._method)
            except MessageRefused as refused:
                self._malformed(refused.detail)
                return
            data = data[end + 4 :]
            if head.status >= 200:
                self._answered(head, data)
                return
            if not self._interim(head, data) or not data:
                return

    def _interim(self, head: ResponseHead, rest: bytes) -> bool:
        """Handle a 1xx; return whether to go on reading heads."""
        user = self._user
        assert user is not None
        self._interims += 1
        if head.status == 101:
            self._step = _TUNNEL
            user.switched(head)
            if rest and self._user is not None:
                self._user.more(rest)
            return False
        if self._interims > _INTERIMS_MAX:
            self._malformed(f"more than {_INTERIMS_MAX} interim answers")
            return False
        user.interim(head)
        return self._step == _HEAD

    def _answered(self, head: ResponseHead, rest: bytes) -> None:
        user = self._user
        assert user is not None
        self._keep_alive = head.keep_alive
        length = head.length
        if length >= 0:
            if len(rest) >= length:
                self._end(clean=len(rest) == length)
                user.answered(head, rest[:length], ended=True)
                return
            self._left = length - len(rest)
            self._step = _LENGTH
        elif length == CHUNKED:
            self._decoder = ChunkedDecoder()
            self._step = _CHUNKED
            body = self._decoded(rest)
            if body is None:
                return
            ended = self._decoder.done
            if ended:
                self._end(clean=not self._decoder.rest)
            if ended and self._decoder.trailers:
                user.answered(head, body, ended=False)
                user.trailers(self._decoder.trailers)
                user.ended()
            else:
                user.answered(head, body, ended=ended)
            return
        else:
            assert length == UNTIL_CLOSE, length
            self._step = _CLOSE
        user.answered(head, rest, ended=False)

    def _length(self, user: UpstreamUser, data: bytes) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            user.more(data)
            return
        if left < 0:
            data = data[:left]
        # The body's end is told after its last bytes, but the connection is free before: the next
        # request may be waiting in the client's buffer and want it.
        self._end(clean=left == 0)
        user.more(data)
        user.ended()

    def _chunks(self, user: UpstreamUser, data: bytes) -> None:
        body = self._decoded(data)
        if body is None:
            return
        assert self._decoder is not None
        ended = self._decoder.done
        if ended:
            self._end(clean=not self._decoder.rest)
        if body:
            user.more(body)
        if ended:
            if self._decoder.trailers:
                user.trailers(self._decoder.trailers)
            user.ended()

    def _decoded(self, data: bytes) -> bytes | None:
        assert self._decoder is not None
        try:
            return self._decoder.feed(data)
        except MessageRefused as refused:
            self._malformed(refused.detail)
            return None

    def _end(self, *, clean: bool) -> None:
        """The answer is whole: back to the pool, or close what cannot be trusted any more."""
        self._user = None
        self._buffer = b""
        if self._paused:
            self.resume_reading()
        if clean and self._keep_alive and self._complete:
            self._step = _IDLE
            self.reused = True
            self._pool.release(self)
        else:
            self.abort()

    def _malformed(self, what: str) -> None:
        user = self._user
        self.abort()
        if user is not None:
            user.failed(
                Failure(
                    FailureKind.MALFORMED,
                    f"upstream {self._pool.name!r} gave an answer that breaks HTTP/1.1: {what}",
                )
            )
