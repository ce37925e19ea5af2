"""Short ways to write a case down."""

from tests.gateway.abuse.case import MARK, OK, TAIL, Allowed, Case, Level, Script
from tests.gateway.abuse.outcomes import ERRORS, Passed, Refused

SECURITY, MUST, SHOULD = Level.SECURITY, Level.MUST, Level.SHOULD
HOST = b"Host: a\r\n"
GET = b"GET /case HTTP/1.1\r\n" + HOST
POST = b"POST /case HTTP/1.1\r\n" + HOST
ONE_CHUNK = b"1\r\nx\r\n0\r\n\r\n"
BROKEN = Refused(closed=True)
"""The end of the message cannot be found: refused, and nothing behind it is read."""
REFUSED = Refused()
BAD_REQUEST = Refused(statuses=(400,), silent=False)


def case(
    id_: str, rfc: str, level: Level, sends: bytes | Script, *allow: Allowed, answers: Script = OK,
    methods: tuple[bytes, ...] = (b"GET",), wait_for: int = 1, probe: bool = True,
    pieces: bool = True,
) -> Case:  # fmt: skip
    """Return a case."""
    script: Script = (sends,) if isinstance(sends, bytes) else sends
    return Case(
        id=id_, rfc=rfc, level=level, sends=script, answers=answers, allow=allow or (Passed(),),
        methods=methods, wait_for=wait_for, probe=probe, pieces=pieces,
    )  # fmt: skip


def broken(id_: str, rfc: str, raw: bytes, *others: Allowed, level: Level = SECURITY) -> Case:
    """Return a request whose end is in doubt, with another right behind it."""
    return case(id_, rfc, level, raw + TAIL, BROKEN, *others)


def field(
    id_: str, rfc: str, level: Level, line: bytes, *allow: Allowed, answers: Script = OK
) -> Case:
    """Return a GET with one more field line."""
    return case(id_, rfc, level, GET + line + b"\r\n\r\n", *allow, answers=answers)


def request(line: bytes, fields: bytes = b"") -> bytes:
    """Return a request with this first line, and Host."""
    return line + b"\r\n" + HOST + fields + b"\r\n"


def answer(fields: bytes, body: bytes = b"", status: bytes = b"200 OK") -> bytes:
    """Return a marked answer with these field lines, each with its CRLF."""
    return b"HTTP/1.1 " + status + b"\r\n" + MARK + fields + b"\r\n" + body


def statuses_but(*others: int) -> tuple[int, ...]:
    """Return all error statuses but these."""
    return tuple(status for status in ERRORS if status not in others)
