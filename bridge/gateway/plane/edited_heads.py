"""Apply a route's header rules once for as long as nothing in a head changes.

A client repeats its fields, and an upstream its answer's head within a second; what the rules make
of them is kept beside what it was made of, for as long as that is kept itself: a connection's life.
"""

from typing import Final, NamedTuple

from bridge.gateway.http.relay import Client, Relayed, relayed_head
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.routes.block_edit import SideRewriting

_KEY: Final = "edited"


class EditedBlock:
    """The last block of request fields of one client's connection, and what rules made of it."""

    __slots__ = ("_block", "_edited", "_edits")

    def __init__(self) -> None:
        self._edits: SideRewriting | None = None
        self._block = self._edited = b""

    def head(self, edits: SideRewriting, start: bytes, block: bytes) -> tuple[bytes, bytes]:
        """Return a request line and its block of fields as the rules have them."""
        if edits.request is None:
            return start, block
        # `Edge` hands out the very same object for fields that are the same.
        if edits is not self._edits or block is not self._block:
            self._edits, self._block = edits, block
            self._edited = edits.request.block(block)
        if edits.request.paths:
            start = edits.request.start(start)
        return start, self._edited


class _Edited(NamedTuple):
    edits: SideRewriting
    head: ResponseHead


class _Relayed(NamedTuple):
    edits: SideRewriting
    date_line: bytes
    relayed: Relayed


def relayed_answer(
    head: ResponseHead, edits: SideRewriting | None, client: Client, via: bytes, date_line: bytes
) -> Relayed:
    """Return an answer's head as the rules and its client have it."""
    if edits is None:
        return relayed_head(head, client, via, date_line)
    known = head.relayed.get(client)
    if type(known) is _Relayed and known.edits is edits and known.date_line is date_line:
        return known.relayed
    relayed = relayed_head(edited_answer(edits, head), client, via, date_line)
    head.relayed[client] = _Relayed(edits, date_line, relayed)
    return relayed


def edited_answer(edits: SideRewriting, head: ResponseHead) -> ResponseHead:
    """Return an answer's head as the rules have it."""
    known = head.relayed.get(_KEY)
    if type(known) is _Edited and known.edits is edits:
        return known.head
    edited = head._replace(lines=edits.answer_lines(head.lines), relayed={})
    head.relayed[_KEY] = _Edited(edits, edited)
    return edited
