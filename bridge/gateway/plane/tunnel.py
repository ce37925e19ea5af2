"""After 101: bytes both ways between one client and one upstream, until both have ended.

Half-close is a tunnel's right: an end is passed on, and the other direction goes on. A tunnel
without a byte for `tunnel_idle_ms` is cut. It stays on the side that it was opened on; when a
switch gives its route to another one, it has `tunnel_drain_ms` more, because nobody knows what was
said in it, and its client has to connect anew to be heard by the new side.
"""

from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.plane.handling import ClientSide, Step
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.transports import half_close
from bridge.gateway.upstream_ports import Failure, UpstreamConnection


class Tunnel:
    """Both a `Handling` of the client's connection and the user of an upstream's."""

    until = float("inf")
    """Monotonic seconds at which it is over, however lively; set by a switch."""

    def __init__(
        self,
        conn: ClientSide,
        link: UpstreamConnection,
        decision: Decision,
        asked: RequestHead,
    ) -> None:
        self._conn = conn
        self._link: UpstreamConnection | None = link
        self._decision = decision
        self._asked = asked
        self._ends = 0
        phases, settings = decision.route.phases, conn.plane.settings
        self._idle_s = phases.tunnel_idle_s or settings.tunnel_idle_ms / 1000
        conn.plane.tunnels.add(self)
        self._touch()

    def review(self, table: RoutingTable) -> None:
        """Look at a new table: a tunnel to a side that is not its route's any more must end."""
        asked = self._asked
        host = asked.authority.name if asked.authority else None
        found = table.decide(asked.method, host, asked.target, asked.lines)
        if isinstance(found, Decision) and self._stays(found):
            self.until = float("inf")
        elif self.until == float("inf"):
            conn = self._conn
            self.until = conn.plane.now + self._decision.route.phases.tunnel_drain_s
            conn.deadline = min(conn.deadline, self.until)

    def _stays(self, found: Decision) -> bool:
        if self._decision.forced:
            return found.other is not None  # It was a person's wish, as long as there are two.
        if found.choice is not None:
            found = self._conn.plane.sides.home(found, self._asked)
        return found.upstream == self._decision.upstream

    # -- from the client ------------------------------------------------------------------------

    def start(self, body: bytes, *, complete: bool) -> None:
        """It began when the upstream switched."""

    def body(self, data: bytes, *, complete: bool) -> None:
        """Pass on bytes from the client."""
        self._touch()
        if self._link is not None:
            self._link.send(data)

    def trailed(self, lines: list[bytes]) -> None:
        """There are no trailers in a tunnel."""

    def client_ended(self) -> None:
        """Pass on that the client sends no more."""
        if self._link is not None:
            self._link.finish()
        self._end_of_direction()

    def client_gone(self, *, body_complete: bool) -> bool:
        """Nobody is there to talk to."""
        self.dropped()
        return False

    def dropped(self) -> None:
        """Let go of the upstream."""
        self._conn.plane.tunnels.discard(self)
        if self._link is not None:
            self._link.abort()
            self._link = None

    def expired(self) -> None:
        """Nothing was said for too long, or a switch has ended it."""
        self.dropped()
        self._conn.cut()

    def pause_reading(self) -> None:
        """The client takes its bytes slower than they come."""
        if self._link is not None:
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """It has caught up."""
        if self._link is not None:
            self._link.resume_reading()

    # -- from the upstream ----------------------------------------------------------------------

    def connected(self, connection: UpstreamConnection) -> None:
        """It has its connection."""

    def interim(self, head: ResponseHead) -> None:
        """There are no answers any more."""

    def answered(self, head: ResponseHead, body: bytes, *, ended: bool) -> None:
        """There are no answers any more."""

    def switched(self, head: ResponseHead) -> None:
        """It has."""

    def more(self, data: bytes) -> None:
        """Pass on bytes from the upstream."""
        self._touch()
        self._conn.write(data)

    def trailers(self, lines: list[bytes]) -> None:
        """There are none in a tunnel."""

    def ended(self) -> None:
        """Pass on that the upstream sends no more."""
        half_close(self._conn.transport)
        self._end_of_direction()

    def failed(self, failure: Failure) -> None:
        """The upstream is gone; a clean end would look like its own."""
        self._link = None
        self.dropped()
        self._conn.cut()

    def pause_sending(self) -> None:
        """The upstream reads slowly: stop reading the client."""
        self._conn.pause_receiving()

    def resume_sending(self) -> None:
        """It has caught up."""
        self._conn.resume_receiving()

    # -- inside ---------------------------------------------------------------------------------

    def _touch(self) -> None:
        conn = self._conn
        conn.deadline = min(conn.plane.now + self._idle_s, self.until)

    def _end_of_direction(self) -> None:
        self._ends += 1
        if self._ends == 2:
            self.dropped()
            if self._conn.step is not Step.GONE:
                self._conn.transport.close()
