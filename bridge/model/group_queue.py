"""The queue of a consumer group: declared alike by whoever comes first, the relay or the kit.

A queue that the relay makes must not lack what the kit promises (order, dead-lettering without
loss, a crash guard), so what is immutable about it stands here, once.
"""

from typing import Final

DELIVERY_LIMIT: Final = 100
"""A crash guard against an event that kills the process that handles it: after so many deliveries
the broker moves it to the park queue. Restarts of a whole machine stay far below."""

PARK_ARGUMENTS: Final[dict[str, str | bool | int]] = {"x-queue-type": "quorum"}
"""Arguments of a park queue: nothing leaves it by itself."""


def queue_name(group: str) -> str:
    """Return the name of the group's work queue."""
    return f"c.{group}"


def park_queue_name(group: str) -> str:
    """Return the name of the queue for events that the group cannot handle."""
    return f"c.{group}.park"


def queue_arguments(park_queue: str) -> dict[str, str | bool | int]:
    """Return the arguments of a work queue whose hopeless messages go to `park_queue`."""
    return {
        "x-queue-type": "quorum",
        # Order per key over restarts and replicas: one consumer at a time.
        "x-single-active-consumer": True,
        "x-delivery-limit": DELIVERY_LIMIT,
        # Inert until a policy sets a length; then a full queue answers "no" and the relay sends
        # again, while the default would drop its oldest message without a word. At-least-once
        # dead-lettering demands it.
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": park_queue,
        "x-dead-letter-strategy": "at-least-once",
    }
