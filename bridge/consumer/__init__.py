"""The kit that a new consumer imports: validated, deduplicated, ordered handling of events.

    contracts = ContractSet.load(Path("contracts"), type_prefix="com.example")
    inbox = SqliteInbox(Path("orders.db"), prepare=create_my_tables)
    consumer = Consumer(url, "c.orders", ["shop.order.#"], handle, inbox, contracts, group="orders")
    consumer.run(stop)

`handle(event, tx)` writes through `tx` only; it never commits. Inboxes are imported from their own
modules (`sqlite_inbox`, `postgres_inbox`, `memory_inbox`), so that no driver is loaded in vain.
"""

from bridge.consumer.consumer import Consumer
from bridge.consumer.event import ReceivedEvent
from bridge.consumer.ports import Inbox, Refused
from bridge.consumer.replays import OnReplay

__all__ = ["Consumer", "Inbox", "OnReplay", "ReceivedEvent", "Refused"]
