"""What a client's connection and the handling of its current request know of each other."""

from enum import Enum
from typing import Final, Protocol

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


class Handling(Protocol):
    """How one request is answered: forwarded as it comes, or handed whole to the write path."""

    def start(self, body: bytes, *, complete: bool) -> None:
        """Begin, with the body that came together with the head."""

    def body(self, data: bytes, *, complete: bool) -> None:
        """Take more of the body, decoded; in a tunnel, more of its bytes."""

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
