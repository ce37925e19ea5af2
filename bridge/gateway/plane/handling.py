"""What a client's connection and the handling of its current request know of each other."""

import asyncio
from enum import Enum
from typing import Final, Protocol

from bridge.gateway.http.edge import Edge
from bridge.gateway.http.relay import Client
from bridge.gateway.plane.edited_heads import EditedBlock
from bridge.gateway.plane.plane import Plane
from bridge.model.http import Headers, HttpResponse

SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))
"""Methods that change nothing: cancelled when their client leaves (RFC 9110 9.2.1)."""

IDEMPOTENT: Final = SAFE | {b"PUT", b"DELETE"}
"""Methods that may be sent again on a fresh connection (RFC 9110 9.2.2)."""


class Step(Enum):
    """What a client's connection waits for."""

    HEAD = "head"  # A request's head, or its beginning.
    BODY = "body"  # The rest of a request's body.
    ANSWER = "answer"  # The request is whole, or was answered early; its answer is under way.
    TUNNEL = "tunnel"  # 101 was answered: bytes both ways.
    LINGER = "linger"  # The last answer was sent; what still comes is thrown away.
    GONE = "gone"  # The client is not there any more; a write of its may still be under way.


# A member of an enum costs a call of Python code each time that it is named (3.11): the hot path
# names these instead.
HEAD, BODY, ANSWER, TUNNEL, LINGER, GONE = Step


class ClientSide(Protocol):
    """A client's connection, as the handling of its current request knows it."""

    plane: Plane
    transport: asyncio.Transport
    step: Step
    client: Client
    edge: Edge
    edited: EditedBlock
    deadline: float
    """Monotonic seconds; once passed, `Handling.expired` is called."""

    def write(self, data: bytes) -> None:
        """Send to the client, if it is still there."""

    def answer(self, response: HttpResponse, *, label: str = "-", upstream: str = "") -> None:
        """Send a whole answer; `upstream` is empty for the gateway's own."""

    def refuse(self, status: int, code: str, detail: str, headers: Headers = ()) -> None:
        """Answer a request that cannot be taken any further; the connection ends."""

    def hold(self, count: int) -> bool:
        """Count bytes of the current request that are held until it ends; False: no room."""

    def finished(self, *, close: bool) -> None:
        """The answer is sent: take the next request, or end."""

    def cut(self) -> None:
        """End with a reset, so that half an answer does not look whole."""

    def begin_tunnel(self, tunnel: "Handling") -> None:
        """Hand `tunnel` all bytes from now on, beginning with those already read."""

    def pause_receiving(self) -> None:
        """Read no more from the client for a while."""

    def resume_receiving(self) -> None:
        """Read again, unless the client itself must catch up first."""


class Handling(Protocol):
    """How one request is answered: forwarded as it comes, or handed whole to the write path."""

    until: float
    """Monotonic seconds after which no more of the request is waited for."""

    def start(self, body: bytes, *, complete: bool) -> None:
        """Begin, with the body that came together with the head."""

    def body(self, data: bytes, *, complete: bool) -> None:
        """Take more of the body, decoded; in a tunnel, more of its bytes."""

    def trailed(self, lines: list[bytes]) -> None:
        """Take the trailers of the request, before the end of its body."""

    def client_gone(self, *, body_complete: bool) -> bool:
        """Hear that nobody listens any more; return whether a write must still be finished."""

    def client_ended(self) -> None:
        """Hear, in a tunnel, that the client sends no more."""

    def dropped(self) -> None:
        """Hear that the request was refused half read."""

    def expired(self) -> None:
        """Hear that the deadline has passed."""

    def pause_reading(self) -> None:
        """Hear that the client takes the answer slower than it comes."""

    def resume_reading(self) -> None:
        """Hear that it has caught up."""
