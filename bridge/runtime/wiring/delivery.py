"""Wire what publishes the log to the broker."""

from adapters.rabbitmq.sink import RabbitMQSink
from bridge.delivery.relay import Relay
from bridge.delivery.topology import QueueSpec, Topology
from bridge.model.errors import ConfigInvalid
from bridge.model.group_queue import park_queue_name, queue_name
from bridge.model.observer import Observer
from bridge.runtime.configuration.settings import DeliverySettings, Settings
from bridge.runtime.wiring.sink import SINK
from bridge.runtime.wiring.stores import Stores


def rabbitmq_sink(settings: Settings, observer: Observer | None = None) -> RabbitMQSink:
    """Return the broker's adapter."""
    delivery = delivery_settings(settings)
    topology = Topology(
        exchange=delivery.exchange,
        queues=tuple(
            QueueSpec(
                name=queue_name(group.name),
                bindings=group.bind,
                park_queue=park_queue_name(group.name),
            )
            for group in delivery.groups
        ),
    )
    return RabbitMQSink(
        delivery.url, topology, type_prefix=settings.contracts.type_prefix, observer=observer
    )


def relay(stores: Stores, observer: Observer) -> Relay:
    """Wire the relay from the log to the broker."""
    return Relay(
        SINK,
        stores.event_log(),
        rabbitmq_sink(stores.settings, observer),
        stores.sink_cursors(),
        observer,
        unsealer=stores.keeping().unsealer,
    )


def delivery_settings(settings: Settings) -> DeliverySettings:
    """Return the delivery section; raises `ConfigInvalid` without one."""
    if settings.delivery is None:
        raise ConfigInvalid("cannot run delivery: the settings have no delivery section")
    return settings.delivery
