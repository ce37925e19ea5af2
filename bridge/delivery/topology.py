"""Which queues receive which events, as data.

Only what a broker makes immutable stands here; tunables (lengths, times to live, consumer
timeouts) belong in the broker's policies, so that changing one never meets a queue that refuses
to be declared again.
"""

from dataclasses import dataclass
from typing import NamedTuple

from bridge.model.errors import ConfigInvalid

EXCHANGE_DEFAULT = "lb.events"
NAME_BYTES_MAX = 255
"""AMQP 0-9-1 short string: names and routing keys are at most this long."""


class DirectDelivery(NamedTuple):
    """Events for one queue alone, past the exchange that all groups listen to."""

    queue: str
    """Its name; it has to exist."""
    replay: str
    """What is replayed: consumers find it in the header `x-lb-replay`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSpec:
    """A durable quorum queue and the routing keys it wants."""

    name: str
    bindings: tuple[str, ...]
    """Topic patterns over `domain.entity.event.vMAJOR`: `*` is one word, `#` any number."""
    single_active_consumer: bool = False
    """Whether only one consumer at a time gets messages, which keeps order across restarts."""
    park_queue: str | None = None
    """Set for a consumer group's queue: it is declared exactly as the consumer kit would, with
    this queue for what the group cannot handle."""

    def __post_init__(self) -> None:
        """Refuse what no broker would take."""
        _require_name("queue", self.name)
        if not self.bindings:
            raise ConfigInvalid(
                f"cannot use queue {self.name!r}: it has no binding, so nothing would reach it"
            )
        for pattern in self.bindings:
            _require_name(f"binding of queue {self.name!r}", pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """The exchange that events enter by, and the queues behind it.

    The exchange has no alternate exchange: with one, a message that no queue wants would count as
    routed, and `mandatory` would no longer tell us.
    """

    exchange: str = EXCHANGE_DEFAULT
    queues: tuple[QueueSpec, ...] = ()

    def __post_init__(self) -> None:
        """Refuse two queues of one name."""
        _require_name("exchange", self.exchange)
        names = [queue.name for queue in self.queues]
        for name in names:
            if names.count(name) > 1:
                raise ConfigInvalid(f"cannot use queue {name!r}: it is configured twice")

    def queue_for(self, routing_key: str) -> QueueSpec | None:
        """Return a configured queue that wants `routing_key`, or None when nobody is expected."""
        for queue in self.queues:
            if any(matches(pattern, routing_key) for pattern in queue.bindings):
                return queue
        return None


def matches(pattern: str, routing_key: str) -> bool:
    """Tell whether a topic exchange would route `routing_key` through a binding of `pattern`."""
    words = routing_key.split(".")
    reached = {0}  # Places in `words` that the pattern read so far can have consumed up to.
    for part in pattern.split("."):
        if part == "#":
            reached = set(range(min(reached), len(words) + 1))
        else:
            reached = {
                place + 1 for place in reached if place < len(words) and part in ("*", words[place])
            }
        if not reached:
            return False
    return len(words) in reached


def _require_name(what: str, name: str) -> None:
    size = len(name.encode())
    if not 1 <= size <= NAME_BYTES_MAX:
        raise ConfigInvalid(
            f"cannot use {what} {name!r}: it has {size} bytes, AMQP takes 1 to {NAME_BYTES_MAX}"
        )
