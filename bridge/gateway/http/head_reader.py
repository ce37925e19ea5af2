"""Read the heads of one connection."""

from operator import eq
from typing import Final

from bridge.gateway.http import fields
from bridge.gateway.http.framing import special_fields, split_head
from bridge.gateway.http.head_folding import REFUSED_METHODS, authority_in, folded
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.request_line import parse_request_line
from bridge.gateway.http.target import Authority

# What real clients send; a longer block is parsed every time.
_BLOCK_KEPT_BYTES_MAX: Final = 4_096


class HeadReader:
    """Reads the heads of one connection.

    Clients repeat themselves: when nothing but Host in a block of fields means anything to a proxy,
    the next block is only compared with it, and what differs is looked at. Only the last block is
    kept, and only as long as its connection, so that nobody's credentials outlive it.
    """

    __slots__ = ("_authority", "_block", "_host_at", "_lines")

    def __init__(self) -> None:
        self._block = b""
        self._lines: list[bytes] = []
        self._host_at = 0
        self._authority: Authority | None = None

    def read(self, head: bytes) -> RequestHead:
        """Parse a head, given without its final empty line.

        Raises:
            MessageRefused: it breaks a rule; the connection cannot be used any further.
        """
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
                if len(found) != 1 or found[0][0] != fields.HOST:
                    return folded(method, target, minor, lines, found)
                _, index, host = found[0]
                self._host_at = index - 1
                self._authority = authority_in(host)
                del lines[0]
            self._lines = lines
            self._block = block if len(block) <= _BLOCK_KEPT_BYTES_MAX else b""
        return RequestHead(
            line,
            method,
            target,
            1,
            self._authority,
            self._lines,
            0,
            True,
            False,
            None,
            (),
            (),
            None,
            b"",
            False,
            True,
        )

    def _differs_plainly(self, lines: list[bytes]) -> bool:
        """Whether these lines differ from the last block's only where nothing is special."""
        before = self._lines
        if not self._block or len(lines) != len(before):
            return False
        for index in [at for at, same in enumerate(map(eq, lines, before)) if not same]:
            if index == self._host_at or not fields.is_plain_line(lines[index]):
                return False
        return True


def parse_request_head(head: bytes) -> RequestHead:
    """Parse one head by itself.

    Raises:
        MessageRefused: it breaks a rule.
    """
    return HeadReader().read(head)
