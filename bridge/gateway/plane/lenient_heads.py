"""Take a head that the strict parser refuses, where its route lets old clients do that, by name.

The order is what makes it safe. The strict parser speaks first, and its refusal stands unless every
step agrees: the head, rewritten by what any route allows, passes the strict parser; the route table
decides it; and that very route allows each lenience that the rewriting needed. A request whose
framing needed one is the last of its connection, so that nothing behind it can be taken for a
request by one reader and for a body by another. Chunks are never read leniently.
"""

import re
from typing import Final, NamedTuple

from bridge.gateway.http.framing import MessageRefused
from bridge.gateway.http.head_reader import parse_request_head
from bridge.gateway.http.lenience import (
    BARE_LF,
    EQUAL_LENGTHS,
    LENGTH_WITH_CHUNKED,
    OBS_FOLD,
    head_end,
    rewritten,
)
from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.http.request_line import refuse_partial
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.table import RoutingTable

_OF_FRAMING: Final = frozenset((BARE_LF, OBS_FOLD, EQUAL_LENGTHS, LENGTH_WITH_CHUNKED))
_LONE_LF: Final = re.compile(rb"(?<!\r)\n")


class LenientHead(NamedTuple):
    """A head that its route takes."""

    head: RequestHead
    end: int
    """Where in the data the body begins."""
    route_id: str
    used: frozenset[str]


def may_become_lenient(table: RoutingTable, data: bytes) -> bool:
    """Whether a refused beginning may still become a head that some route takes."""
    if BARE_LF not in table.leniences or head_end(data, 0, table.leniences)[0] >= 0:
        return False
    try:
        refuse_partial(_LONE_LF.sub(b"\r\n", data), 0)
    except MessageRefused:
        return False
    return True


def read_leniently(table: RoutingTable, data: bytes) -> LenientHead | None:
    """Return the head at the beginning of `data`, if its route takes it; None leaves it refused."""
    end, after = head_end(data, 0, table.leniences)
    found = rewritten(data[:end], table.leniences) if end >= 0 else None
    if found is None:
        return None
    try:
        head = parse_request_head(found.head)
    except MessageRefused:
        return None
    host = head.authority.name if head.authority else None
    decision = table.decide(head.method, host, head.target, head.lines)
    if not isinstance(decision, Decision) or not found.used <= decision.route.lenience.names:
        return None
    if found.used & _OF_FRAMING:
        head = head._replace(keep_alive=False)
    return LenientHead(head, after, decision.route.route_id, found.used)
