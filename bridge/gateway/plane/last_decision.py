"""What the table said of a connection's last request, for as long as both are the same."""

from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.table import Refusal, RoutingTable


class LastDecision:
    """A client that polls repeats its request: `HeadReader` hands out the same head then.

    A table is immutable and decides by the head alone, so the same two have the same decision.
    """

    __slots__ = ("_decision", "_head", "_table")

    def __init__(self) -> None:
        self._head: RequestHead | None = None
        self._table: RoutingTable | None = None
        self._decision: Decision | Refusal

    def of(self, table: RoutingTable, head: RequestHead, host: bytes | None) -> Decision | Refusal:
        """Return what `table` decides; `host` is the name in the head's authority."""
        if head is not self._head or table is not self._table:
            self._decision = table.decide(head.method, host, head.target, head.lines)
            self._head, self._table = head, table
        return self._decision
