"""What a case of abuse is: what is sent at both ends, and what may be seen there."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeAlias

from tests.gateway.abuse.strict import Message


class Level(Enum):
    """How bad it is when a case goes wrong."""

    SECURITY = "security"  # Two readers can be made to disagree: smuggling, poisoning, by-passing.
    MUST = "must"  # The RFC says MUST or MUST NOT.
    SHOULD = "should"  # The RFC says SHOULD, or the checklist of the gateway does.


class Act(Enum):
    """A step of a script that sends nothing."""

    ANSWERED = "answered"  # Client: wait for one more whole answer, interim ones included.
    PAUSE = "pause"  # Either: give the others time to act on what they have.
    END = "end"  # Either: send no more, go on reading.
    GONE = "gone"  # Either: close.
    WHOLE = "whole"  # Upstream: wait for the whole request.
    HANG = "hang"  # Upstream: do nothing until the case is over.
    READ = "read"  # Upstream: wait for any byte behind the request's head.
    ECHO = "echo"  # Upstream, after 101: send back what comes.


Script: TypeAlias = tuple[bytes | Act, ...]

MARK = b"X-Upstream: 1\r\n"
"""In every good answer of the upstream, so that a proxy's own are told from it."""

OK: Script = (
    Act.WHOLE,
    b"HTTP/1.1 200 OK\r\n" + MARK + b"Content-Length: 5\r\n\r\nright",
)

PROBE = b"/probe"
SMUGGLED = b"/smuggled"
TAIL = b"GET " + SMUGGLED + b" HTTP/1.1\r\nHost: a\r\n\r\n"
"""Behind a request that ends its connection: whoever sees this was smuggled to."""


class Ended(Enum):
    """How the client's connection stood in the end."""

    OPEN = "open"
    CLOSED = "closed"
    RESET = "reset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What both ends saw of one case; the probe, a last good request, apart."""

    answers: list[Message]
    answer_faults: list[str]
    rest: bytes
    ended: Ended
    requests: list[Message]
    request_faults: list[str]
    probe: Message | None
    """Answer to the probe, which was only sent on an open connection."""

    @property
    def finals(self) -> list[Message]:
        """Return the answers that are not interim."""
        return [answer for answer in self.answers if answer.status >= 200]

    @property
    def went_on(self) -> bool:
        """Whether the connection took the probe, and gave it the probe's own answer."""
        return self.probe is not None and self.probe.body == b"probed"


class Allowed(Protocol):
    """One way in which a case may end."""

    def why_not(self, seen: Seen) -> str:
        """Return what was seen otherwise, or "" when this is how it ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One thing that a client or an upstream does."""

    id: str
    rfc: str
    """Number and section."""
    level: Level
    sends: Script
    answers: Script = OK
    """What the upstream does with the first request; every other one is answered well."""
    allow: tuple[Allowed, ...]
    methods: tuple[bytes, ...] = (b"GET",)
    """Of the requests sent, when one is HEAD."""
    wait_for: int = 1
    """Final answers after which nothing more is waited for."""
    probe: bool = True
    pieces: bool = True
    """Whether cutting what is sent into pieces makes sense."""
