"""One exchange of a guarded pool, between its user and the connection: sees how it goes."""

from typing import Protocol

from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.upstream_ports import Failure, UpstreamConnection, UpstreamUser


class Watcher(Protocol):
    """The pool, as its exchanges know it."""

    timed: bool
    """Whether it wants to know how long exchanges take."""

    def clock(self) -> float:
        """Return monotonic seconds."""

    def connected(self, user: UpstreamUser) -> None:
        """An ordered exchange has its connection."""

    def answered(self, epoch: int, user: UpstreamUser, head: ResponseHead, took_s: float) -> None:
        """An exchange has the head of its answer."""

    def failed(self, epoch: int, user: UpstreamUser, failure: Failure) -> None:
        """An exchange has no answer."""

    def given_up(self, epoch: int, *, late: bool) -> None:
        """An exchange was left without an answer; `late`: because none came in time."""

    def freed(self) -> None:
        """An exchange has ended, and its room is free."""


class GuardedExchange:
    """A connection for its user, and a user for the connection."""

    __slots__ = ("_answered", "_began", "_epoch", "_link", "_over", "_user", "_watcher")

    def __init__(
        self,
        watcher: Watcher,
        epoch: int,
        link: UpstreamConnection | None,
        user: UpstreamUser | None = None,
    ) -> None:
        """`user` has ordered it, and hears of the `link` that is still to be made.

        `epoch` is the state of the breaker that it begins under.
        """
        self._epoch = epoch
        self._watcher = watcher
        self._link = link
        self._user = user
        self._began = 0.0
        self._answered = False
        self._over = False

    # -- the connection's side: what its user does ----------------------------------------------

    def start(self, user: UpstreamUser, method: bytes, data: bytes, *, complete: bool) -> None:
        """Send."""
        assert self._link is not None, "started before it was connected"
        self._user = user
        if self._watcher.timed:
            self._began = self._watcher.clock()
        self._link.start(self, method, data, complete=complete)

    def send(self, data: bytes) -> None:
        """Send more."""
        if self._link is not None:
            self._link.send(data)

    def finish(self) -> None:
        """Say that the request is complete."""
        if self._link is not None:
            # From here on the upstream has everything that it needs for its answer.
            if self._watcher.timed:
                self._began = self._watcher.clock()
            self._link.finish()

    def hand_over(self, user: UpstreamUser) -> None:
        """Tell `user` instead."""
        self._user = user

    def pause_reading(self) -> None:
        """Read no more for a while."""
        if self._link is not None:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._link is not None:
            self._link.resume_reading()

    def abort(self, *, late: bool = False) -> None:
        """End the exchange and close the connection."""
        link, self._link = self._link, None
        if link is not None:
            link.abort(late=late)
        self.give_up(late=late)

    def give_up(self, *, late: bool = False) -> None:
        """Free the room; nobody waits for it any more."""
        if not self._over and not self._answered:
            self._watcher.given_up(self._epoch, late=late)
        self._end()

    # -- the user's side: what the connection tells ---------------------------------------------

    def connected(self, connection: UpstreamConnection) -> None:
        """Pass the connection on."""
        user = self._user
        assert user is not None, "connected without an order"
        self._link = connection
        self._watcher.connected(user)
        user.connected(self)

    def interim(self, head: ResponseHead) -> None:
        """Pass on."""
        assert self._user is not None
        self._user.interim(head)

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """Learn from the answer, and pass it on."""
        user = self._heard(head)
        if ended:
            self._end()
        user.answered(head, body, ended=ended)

    def more(self, data: bytes) -> None:
        """Pass on."""
        assert self._user is not None
        self._user.more(data)

    def trailers(self, lines: list[bytes]) -> None:
        """Pass on."""
        assert self._user is not None
        self._user.trailers(lines)

    def ended(self) -> None:
        """The body is whole, or the tunnel's other end sends no more."""
        assert self._user is not None
        self._end()
        self._user.ended()

    def switched(self, head: ResponseHead) -> None:
        """A tunnel may stay for days: it takes no room from requests."""
        user = self._heard(head)
        self._free()
        user.switched(head)

    def failed(self, failure: Failure) -> None:
        """Learn from the failure, and pass it on."""
        user = self._user
        assert user is not None
        if not self._over and not self._answered:
            self._watcher.failed(self._epoch, user, failure)
        self._end()
        user.failed(failure)

    def pause_sending(self) -> None:
        """Pass on."""
        if self._user is not None:
            self._user.pause_sending()

    def resume_sending(self) -> None:
        """Pass on."""
        if self._user is not None:
            self._user.resume_sending()

    # -- inside ---------------------------------------------------------------------------------

    def _heard(self, head: ResponseHead) -> UpstreamUser:
        user = self._user
        assert user is not None, "answered without a user"
        self._answered = True
        watcher = self._watcher
        took_s = watcher.clock() - self._began if watcher.timed else 0.0
        watcher.answered(self._epoch, user, head, took_s)
        return user

    def _end(self) -> None:
        # The connection may serve somebody else from now on.
        self._link = None
        self._free()

    def _free(self) -> None:
        if not self._over:
            self._over = True
            self._watcher.freed()
