"""Read HTTP/1.1 as RFC 9112 writes it, with no lenience at all: the judge's own eyes.

Shares no code and no idea with the gateway or with the tests' other readers, so that a mistake in
one is not repeated in the other. What it calls a fault is a message that two readers could take
for different ones.
"""

import re
from dataclasses import dataclass, field
from typing import Final

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
# Control characters but NUL, CR and LF may be kept "in a safe context" (RFC 9110 5.5).
_FIELD_LINE: Final = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([^\x00\r\n]*)")
_REQUEST_LINE: Final = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.[01]")
_STATUS_LINE: Final = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\x00\r\n]*)?")
_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")


@dataclass(slots=True, kw_only=True)
class Message:
    """One message, perhaps still arriving."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes = b""
    trailers: list[tuple[bytes, bytes]] = field(default_factory=list)
    complete: bool = False
    until_close: bool = False

    @property
    def method(self) -> bytes:
        """Of a request."""
        return self.start.split(b" ")[0]

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.start.split(b" ")[1]

    @property
    def status(self) -> int:
        """Of a response."""
        return int(self.start[9:12])

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a header field."""
        return [value for given, value in self.fields if given.lower() == name.lower()]


@dataclass(slots=True, kw_only=True)
class Read:
    """What a stream of bytes held."""

    messages: list[Message] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    """Where each message's head begins and ends (without its last empty line)."""
    faults: list[str] = field(default_factory=list)
    """At most one: nothing behind a fault can be read."""
    rest: bytes = b""
    """What is behind the last message: a head that is not whole, a tunnel's bytes."""


class _Fault(Exception):
    """What is wrong."""


class _Wait(Exception):
    """Not whole yet."""


def read_requests(data: bytes, *, forgiving: bool = False) -> Read:
    """Read requests one after the other; `forgiving` one empty line before each (RFC 9112 2.2)."""
    return _read(data, None, ended=False, forgiving=forgiving)


def read_answers(
    data: bytes, methods: tuple[bytes, ...], *, ended: bool, forgiving: bool = False
) -> Read:
    """Read the answers to requests of these methods; a request beyond them is a GET.

    `forgiving` framing fields where there is no body, which nobody may send but anybody can read
    (RFC 9112 6.3 (1)).
    """
    return _read(data, methods, ended=ended, forgiving=forgiving)


def _read(
    data: bytes, methods: tuple[bytes, ...] | None, *, ended: bool, forgiving: bool = False
) -> Read:
    read = Read()
    at = finals = 0
    while at < len(data):
        if forgiving and methods is None and data.startswith(b"\r\n", at):
            at += 2
        end = data.find(b"\r\n\r\n", at)
        if end < 0:
            break
        try:
            message = _head(data[at:end], request=methods is None)
            read.messages.append(message)
            read.spans.append((at, end))
            if forgiving and methods is not None and _is_bodiless(message):
                message.complete = True
                finals += message.status >= 200
                at = end + 4
                continue
            method = b"GET"
            if methods is not None and finals < len(methods):
                method = methods[finals]
            at = _body(message, data, end + 4, None if methods is None else method, ended=ended)
        except _Fault as fault:
            read.faults.append(str(fault))
            return read
        except _Wait:
            return read
        message.complete = True
        if methods is not None:
            if message.status == 101:
                break
            finals += message.status >= 200
    read.rest = data[at:]
    return read


def _is_bodiless(answer: Message) -> bool:
    return answer.status < 200 or answer.status in (204, 304)


def _head(head: bytes, *, request: bool) -> Message:
    start, *lines = head.split(b"\r\n")
    if (_REQUEST_LINE if request else _STATUS_LINE).fullmatch(start) is None:
        raise _Fault(f"start line {start[:60]!r}")
    return Message(start=start, fields=[_field(line) for line in lines])


def _field(line: bytes) -> tuple[bytes, bytes]:
    found = _FIELD_LINE.fullmatch(line)
    if found is None:
        raise _Fault(f"field line {line[:60]!r}")
    return found[1], found[2].rstrip(b" \t")


def _body(message: Message, data: bytes, at: int, method: bytes | None, *, ended: bool) -> int:
    """Read the body from `at`, and return where it ends."""
    lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
    if len(lengths) > 1 or (lengths and codings):
        raise _Fault(f"framed by {len(lengths)} Content-Length, {len(codings)} Transfer-Encoding")
    if lengths and re.fullmatch(rb"[0-9]{1,18}", lengths[0]) is None:
        raise _Fault(f"Content-Length {lengths[0][:60]!r}")
    if method is None:
        if message.start.endswith(b"HTTP/1.1") and len(message.all(b"host")) != 1:
            raise _Fault(f"{len(message.all(b'host'))} Host")
        if not lengths and not codings:
            return at
    else:
        if message.status < 200 or message.status == 204:
            if lengths or codings:
                raise _Fault(f"framing fields in a {message.status}")
            return at
        if message.status == 304 or method == b"HEAD":
            return at
    if codings:
        if [coding.lower() for coding in codings] != [b"chunked"]:
            raise _Fault(f"Transfer-Encoding {codings!r}")
        return _chunks(message, data, at)
    if lengths:
        message.body = data[at : at + int(lengths[0])]
        if len(message.body) < int(lengths[0]):
            raise _Wait
        return at + int(lengths[0])
    message.until_close = True
    message.body = data[at:]
    if not ended:
        raise _Wait
    return len(data)


def _chunks(message: Message, data: bytes, at: int) -> int:
    while True:
        line, at = _line(data, at)
        size = _SIZE.fullmatch(line)
        if size is None:
            raise _Fault(f"chunk size line {line[:60]!r}")
        length = int(size[1], 16)
        if not length:
            break
        message.body += data[at : at + length]
        if len(data) < at + length + 2:
            raise _Wait
        if data[at + length : at + length + 2] != b"\r\n":
            raise _Fault("chunk data longer or shorter than its size")
        at += length + 2
    while True:
        line, at = _line(data, at)
        if not line:
            return at
        message.trailers.append(_field(line))


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\r\n", at)
    if end < 0:
        raise _Wait
    return data[at:end], end + 2
