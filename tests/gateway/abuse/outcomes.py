"""The ways in which a case may end, by what both ends saw and nothing else."""

from dataclasses import dataclass
from typing import Final

from tests.gateway.abuse.case import Ended, Seen
from tests.gateway.abuse.strict import Message

ERRORS: Final = tuple(range(400, 600))


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No whole request reached the upstream; an error, or silence, and the end where it must be."""

    statuses: tuple[int, ...] = ERRORS
    closed: bool = False
    """Whether the connection must end: the request's own end cannot be found."""
    silent: bool = True
    """Whether closing without an answer will do."""

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if any(request.complete for request in seen.requests):
            return f"passed on {seen.requests[0].start[:60]!r}"
        if not seen.finals:
            if seen.ended is Ended.OPEN:
                return "neither answered nor closed"
            return "" if self.silent else "closed without an answer"
        if seen.finals[0].status not in self.statuses:
            return f"answered {seen.finals[0].status}"
        if self.closed and (seen.ended is Ended.OPEN or seen.probe is not None):
            return "went on after a broken message"
        if seen.ended is Ended.OPEN and not seen.went_on:
            return "the connection neither ended nor went on"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """One request reached the upstream, and its answer the client, both as described."""

    method: bytes | None = None
    target: bytes | None = None
    body: bytes | None = None
    has: tuple[tuple[bytes, bytes], ...] = ()
    """Fields of the request, each exactly this often and in this order."""
    lacks: tuple[bytes, ...] = ()
    """Fields that the request has neither in its header nor in its trailers."""
    trailers_lack: tuple[bytes, ...] = ()
    header_lacks: tuple[tuple[bytes, bytes], ...] = ()
    """Fields with values that the request's header has not."""
    status: int = 200
    answer: bytes | None = b"right"
    """Body of the answer; None for any."""
    answer_has: tuple[tuple[bytes, bytes], ...] = ()
    answer_lacks: tuple[bytes, ...] = ()
    answer_header_lacks: tuple[bytes, ...] = ()
    answer_names: tuple[bytes, ...] = ()
    """Fields that the answer has, whatever their values."""
    interims: tuple[int, ...] | None = None
    """Statuses of the interim answers; None for any."""
    closed: bool | None = None
    """Whether the connection ends afterwards; None: it may, but must go on well if not."""

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        requests = seen.requests
        if len(requests) != 1:
            return f"{len(requests)} requests reached the upstream; {_said(seen)}"
        return self._request(requests[0]) or self._answer(seen) or self._end(seen)

    def _request(self, request: Message) -> str:
        if not request.complete:
            return "the request did not reach the upstream whole"
        if self.method is not None and request.method != self.method:
            return f"method {request.method!r}"
        if self.target is not None and request.target != self.target:
            return f"target {request.target!r}"
        if self.body is not None and request.body != self.body:
            return f"body {request.body[:40]!r}"
        for name in self.lacks:
            names = [given.lower() for given, _ in (*request.fields, *request.trailers)]
            if name.lower() in names:
                return f"passed on {name!r}"
        for name in self.trailers_lack:
            if name.lower() in [given.lower() for given, _ in request.trailers]:
                return f"passed on trailer {name!r}"
        for name, value in self.header_lacks:
            if value in request.all(name):
                return f"header has {name!r} of the trailers"
        return _differing(self.has, request)

    def _answer(self, seen: Seen) -> str:
        if self.interims is not None:
            interims = tuple(one.status for one in seen.answers if one.status < 200)
            if interims != self.interims:
                return f"interim answers {interims}"
        if self.status == 101:
            return "" if seen.answers and seen.answers[-1].status == 101 else _said(seen)
        if not seen.finals:
            return "no answer"
        answer = seen.finals[0]
        if answer.status != self.status or not answer.complete:
            return _said(seen)
        if self.answer is not None and answer.body != self.answer:
            return f"answer's body {answer.body[:40]!r}"
        for name in self.answer_lacks:
            if name.lower() in [given.lower() for given, _ in (*answer.fields, *answer.trailers)]:
                return f"answer has {name!r}"
        for name in self.answer_header_lacks:
            if answer.all(name):
                return f"answer's header has {name!r} of its trailers"
        for name in self.answer_names:
            if not answer.all(name):
                return f"answer has no {name!r}"
        return _differing(self.answer_has, answer)

    def _end(self, seen: Seen) -> str:
        if self.closed is True and seen.ended is Ended.OPEN:
            return "the connection went on"
        if self.closed is False and not seen.went_on:
            return "the connection did not go on"
        if seen.ended is Ended.OPEN and self.status != 101 and not seen.went_on:
            return "the connection neither ended nor went on"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replaced:
    """The proxy answered by itself instead of the upstream, whose answer cannot be used."""

    statuses: tuple[int, ...] = (500, 502, 503, 504)

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if not seen.finals:
            return _said(seen) if seen.answers or seen.ended is Ended.OPEN else ""
        answer = seen.finals[0]
        if answer.status not in self.statuses or answer.all(b"x-upstream"):
            return _said(seen)
        if seen.ended is Ended.OPEN and not seen.went_on:
            return "the connection neither ended nor went on"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The client can tell that its answer is not whole."""

    http_1_0: bool = False
    """Whether only a reset tells it."""

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if seen.ended is Ended.OPEN:
            return "the connection goes on"
        if seen.ended is Ended.RESET:
            return ""
        if any(answer.complete for answer in seen.finals):
            return "a cut answer looks whole"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsent:
    """The upstream got no whole request; what the client saw does not matter."""

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        return "a cut request looks whole" if any(one.complete for one in seen.requests) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """Several requests answered in their order."""

    targets: tuple[bytes, ...]
    statuses: tuple[int, ...]
    closed: bool | None = None

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        targets = tuple(request.target for request in seen.requests)
        if sorted(targets) != sorted(self.targets):
            return f"requests {targets}"
        statuses = tuple(answer.status for answer in seen.finals)
        if statuses != self.statuses or not all(answer.complete for answer in seen.finals):
            return f"answers {statuses}"
        for target, answer in zip(self.targets, seen.finals, strict=True):
            if answer.body and answer.body != target:
                return f"{target!r} got the answer of {answer.body!r}"
        if self.closed is True and seen.ended is Ended.OPEN:
            return "the connection went on"
        return ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Early:
    """The upstream's answer came although the body was never sent."""

    status: int

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        statuses = [answer.status for answer in seen.finals]
        return "" if statuses == [self.status] else _said(seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """It came to an end by the proxy's doing."""

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if seen.finals and not seen.finals[0].all(b"x-upstream"):
            return ""
        return "" if seen.ended is not Ended.OPEN else "went on and on"


@dataclass(frozen=True, slots=True, kw_only=True)
class Middle:
    """The first request was answered, the second refused, the third not read."""

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if [request.target for request in seen.requests] != [b"/1"]:
            return f"requests {[request.target for request in seen.requests]}"
        statuses = [answer.status for answer in seen.finals]
        good = statuses[:1] == [200] and statuses[1:] in ([], [400])
        return "" if good and seen.ended is not Ended.OPEN else _said(seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The proxy answered by itself, well, and asked nobody."""

    statuses: tuple[int, ...] = (200, 204)

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if seen.requests:
            return f"passed on {seen.requests[0].start[:60]!r}"
        return "" if seen.finals and seen.finals[0].status in self.statuses else _said(seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """After the 101, exactly these bytes came back."""

    rest: bytes

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if not seen.answers or seen.answers[-1].status != 101:
            return _said(seen)
        return "" if seen.rest == self.rest else f"the tunnel gave {seen.rest[:60]!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """Anything, as long as both ends read it in one way only: `wrongs` looks at that."""

    def why_not(self, seen: Seen) -> str:
        """See `Allowed`."""
        if seen.ended is Ended.OPEN and not seen.went_on:
            return "the connection neither ended nor went on"
        return ""


def _said(seen: Seen) -> str:
    statuses = [f"{answer.status}{'' if answer.complete else ' cut'}" for answer in seen.answers]
    return f"client got {', '.join(statuses) or 'nothing'}, then {seen.ended.value}"


def _differing(wanted: tuple[tuple[bytes, bytes], ...], message: Message) -> str:
    for name in dict.fromkeys(name for name, _ in wanted):
        values = [value for given, value in wanted if given == name]
        if message.all(name) != values:
            return f"{name!r} is {message.all(name)!r}"
    return ""
