"""Read the heads of one connection."""

from operator import eq
from typing import Final, TypeAlias

from bridge.gateway.http import fields
from bridge.gateway.http.framing import (
    Specials,
    body_length,
    is_length,
    special_fields,
    split_head,
    value_of,
)
from bridge.gateway.http.head_folding import REFUSED_METHODS, authority_in, folded
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.request_line import parse_request_line
from bridge.gateway.http.target import Authority

# What real clients send; a longer block is parsed every time.
_BLOCK_KEPT_BYTES_MAX: Final = 4_096


_Rest: TypeAlias = tuple[object, ...]
"""What follows the request line in a `RequestHead`, as one piece."""

_NONE_YET: Final[_Rest] = ()
_USUAL_REST: Final = RequestHead(
    start=b"",
    method=b"",
    target=b"",
    minor=1,
    authority=None,
    lines=[],
    length=0,
    keep_alive=True,
    expects=False,
    upgrade=None,
    via=(),
    forwarded=(),
    max_forwards=None,
    plain=True,
)[7:]
_new_tuple: Final = tuple.__new__


class HeadReader:
    """Reads the heads of one connection.

    Clients repeat themselves: when a block of fields holds nothing that means anything to a proxy
    but Host, Content-Length and `Connection: keep-alive`, the next block is only compared with it,
    and what differs is looked at. A head that is the last one once more is that one, the very same
    object. Only the last block is kept, and only as long as its connection, so that nobody's
    credentials outlive it.
    """

    __slots__ = (
        "_authority", "_block", "_connection_at", "_head", "_host_at", "_known", "_length",
        "_length_at", "_lines", "_rest",
    )  # fmt: skip

    def __init__(self) -> None:
        self._head: bytes | None = None
        """The last head of this kind, and what it says."""
        self._known: RequestHead
        self._block = b""
        self._lines: list[bytes] = []
        """Of the last block, all of them."""
        self._rest = _NONE_YET
        self._authority: Authority | None = None
        self._length = 0
        self._host_at = self._length_at = self._connection_at = -1

    def read(self, head: bytes) -> RequestHead:
        """Parse a head, given without its final empty line.

        Raises:
            MessageRefused: it breaks a rule; the connection cannot be used any further.
        """
        if head == self._head:
            return self._known
        line, _, block = head.partition(b"\r\n")
        method, target, minor = parse_request_line(line)
        if minor != 1 or target[:1] != b"/" or method in REFUSED_METHODS:
            lines = split_head(head)
            return folded(method, target, minor, lines, special_fields(lines))
        if block != self._block or not block:
            lines = block.split(b"\r\n")
            if not self._differs_plainly(lines):
                lines = split_head(head)
                found = special_fields(lines)
                if not self._learn(found):
                    return folded(method, target, minor, lines, found)
                del lines[0]
            self._keep(block, lines)
        # A `RequestHead` by hand: its own constructor takes a twentieth of a whole request.
        self._known = _new_tuple(RequestHead, (line, method, target, 1, *self._rest))
        self._head = head if self._block else None
        return self._known

    def _keep(self, block: bytes, lines: list[bytes]) -> None:
        self._lines = lines
        self._block = block if len(block) <= _BLOCK_KEPT_BYTES_MAX else b""
        at = self._connection_at
        kept = lines if at < 0 else lines[:at] + lines[at + 1 :]
        self._rest = (self._authority, kept, self._length, *_USUAL_REST)

    def _learn(self, found: Specials) -> bool:
        """Take what there is of the usual special fields; False when there are others."""
        host = length = None
        host_at = length_at = connection_at = -1
        for kind, index, line in found:
            if kind == fields.HOST and host is None:
                host, host_at = line, index - 1
            elif kind == fields.LENGTH and length is None:
                length, length_at = line, index - 1
            elif (
                kind == fields.CONNECTION
                and connection_at < 0
                and value_of(line).lower() == b"keep-alive"
            ):
                connection_at = index - 1
            else:
                return False
        if host is None:
            return False
        authority = authority_in(host)
        self._length = 0 if length is None else body_length([value_of(length)], [], 1) or 0
        self._authority = authority
        self._host_at, self._length_at, self._connection_at = host_at, length_at, connection_at
        return True

    def _differs_plainly(self, lines: list[bytes]) -> bool:
        """Whether these lines differ from the last block's only where nothing is special."""
        before = self._lines
        if not self._block or len(lines) != len(before):
            return False
        length = self._length
        for index in [at for at, same in enumerate(map(eq, lines, before)) if not same]:
            if index == self._length_at:
                name, _, text = lines[index].partition(b":")
                text = text.strip(b" \t")
                if before[index].partition(b":")[0] != name or not is_length(text):
                    return False
                length = int(text)
            elif index in (self._host_at, self._connection_at) or not fields.is_plain_line(
                lines[index]
            ):
                return False
        self._length = length
        return True


def parse_request_head(head: bytes) -> RequestHead:
    """Parse one head by itself.

    Raises:
        MessageRefused: it breaks a rule.
    """
    return HeadReader().read(head)
