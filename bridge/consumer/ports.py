"""What the consumer kit asks of the handler's own database."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from bridge.consumer.event import ReceivedEvent
from bridge.model.errors import BridgeError, Remedy

Tx_co = TypeVar("Tx_co", covariant=True)
"""What a database gives a handler to write through, inside the open transaction."""


class Refused(BridgeError):
    """Raised by a handler that understands an event and will not take it: a business refusal.

    The event is parked at once, without retries. The code goes to the park queue; the handler
    keeps row values out of it.
    """

    remedy = Remedy.PARK

    def __init__(self, code: str) -> None:
        """Refuse for the reason `code`, a short word such as `unknown-product`."""
        super().__init__(code)
        self.code = code


class Inbox(Protocol[Tx_co]):
    """Remembers, in the handler's own database, which events were applied.

    Used by one thread. Implementations: `bridge.consumer.postgres_inbox`, `…sqlite_inbox`,
    `…memory_inbox`; one conformance suite in `tests/consumer/`.
    """

    def apply(
        self,
        group: str,
        events: Sequence[ReceivedEvent],
        handle: Callable[[ReceivedEvent, Tx_co], None],
    ) -> int:
        """Hand each new event of `events` to `handle`, in order, and return how many were new.

        Remembering and everything that `handle` does with its transaction is one commit: it is
        durable when this returns, and nothing of it is kept when this raises. An event is new when
        (`group`, source, event id) was not applied before.

        Raises:
            StorageUnavailable: the database cannot be reached; whether the commit happened may be
                unknown, and applying again is safe.
            Exception: whatever `handle` raised.
        """

    def oldest(self, group: str) -> int:
        """Return the leaf index below which events of `group` are no longer remembered."""

    def close(self) -> None:
        """Release the database. May be repeated; a later `apply` connects again."""
