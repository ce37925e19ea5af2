"""How an entry of the event log looks as an AMQP 0-9-1 message on the wire.

pika's `basic_publish` makes three frame objects, tests fourteen optional properties and walks the
header table, 9 us for each message; ours always have the same five properties, and encoding them
directly takes 2 us. A test holds the result against pika's own encoder, byte for byte.
"""

import struct

from pika import spec

from bridge.delivery.topology import DirectDelivery
from bridge.model.entry import StoredEntry

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
HEADER_KEY = "lb-key"
HEADER_LEAF = "lb-leaf"
HEADER_REPLAY = "x-lb-replay"

# type, channel, size of the payload; the payload and one end byte follow.
_FRAME = struct.Struct(">BHI")
# A header frame up to the properties: class, weight (unused), size of the body.
_HEADER_FRAME = struct.Struct(">BHIHHQ")
_HEADER_FIXED_BYTES = 12
_END = bytes([spec.FRAME_END])
_FRAME_OVERHEAD_BYTES = spec.FRAME_HEADER_SIZE + spec.FRAME_END_SIZE

_INT64 = struct.Struct(">q")
_UINT32 = struct.Struct(">I")


def _short(text: str) -> bytes:
    """Encode an AMQP short string: one byte of length, then UTF-8."""
    raw = text.encode()
    return bytes((len(raw),)) + raw


_FLAGS = (
    spec.BasicProperties.FLAG_CONTENT_TYPE
    | spec.BasicProperties.FLAG_HEADERS
    | spec.BasicProperties.FLAG_DELIVERY_MODE
    | spec.BasicProperties.FLAG_MESSAGE_ID
    | spec.BasicProperties.FLAG_TYPE
)
_FLAGS_AND_CONTENT_TYPE = struct.pack(">H", _FLAGS) + _short(CONTENT_TYPE)
_KEY_FIELD = _short(HEADER_KEY) + b"S"
_LEAF_FIELD = _short(HEADER_LEAF) + b"l"
_REPLAY_FIELD = _short(HEADER_REPLAY) + b"S"
_PERSISTENT = b"\x02"


class MessageEncoder:
    """Encodes entries for one channel and one exchange, or for one queue when they are replayed.

    Routing keys are few (one per contract, kind and major version), so what depends on them alone
    is encoded once for each.
    """

    # A deployment has tens of contracts with five kinds each; beyond this something is wrong with
    # the routing keys, and starting over costs one encoding per key.
    ROUTING_KEYS_MAX = 10_000

    def __init__(
        self,
        *,
        exchange: str,
        type_prefix: str,
        channel_number: int,
        frame_bytes_max: int,
        direct: DirectDelivery | None = None,
    ) -> None:
        # The default exchange takes a message to the queue that its routing key names.
        self._exchange = exchange if direct is None else ""
        self._queue = None if direct is None else direct.queue
        # What stands before the leaf's index in every header table.
        self._leaf_field = _replay_field(direct) + _LEAF_FIELD
        self._leaf_bytes = len(self._leaf_field) + _INT64.size
        self._leaf_only_table = _UINT32.pack(self._leaf_bytes) + self._leaf_field
        self._type_prefix = type_prefix
        self._channel = channel_number
        self._body_bytes_max = frame_bytes_max - _FRAME_OVERHEAD_BYTES
        self._by_routing_key: dict[str, tuple[bytes, bytes]] = {}

    def encode(self, entry: StoredEntry) -> bytes:
        """Return the frames that publish `entry`: method, header, body."""
        routing_key = entry.routing_key
        assert routing_key is not None, "the relay offers only events"
        known = self._by_routing_key.get(routing_key)
        if known is None:
            known = self._learn(routing_key)
        method_frame, type_field = known
        if entry.partition_key is None:
            table = self._leaf_only_table
        else:
            key = entry.partition_key.encode()
            size = len(_KEY_FIELD) + _UINT32.size + len(key) + self._leaf_bytes
            table = b"%b%b%b%b%b" % (
                _UINT32.pack(size),
                _KEY_FIELD,
                _UINT32.pack(len(key)),
                key,
                self._leaf_field,
            )
        properties = b"%b%b%b%b%b%b" % (
            _FLAGS_AND_CONTENT_TYPE,
            table,
            _INT64.pack(entry.leaf_index),
            _PERSISTENT,
            _short(entry.entry_id),
            type_field,
        )
        payload = entry.payload
        header = _HEADER_FRAME.pack(
            spec.FRAME_HEADER,
            self._channel,
            _HEADER_FIXED_BYTES + len(properties),
            spec.BasicProperties.INDEX,
            0,
            len(payload),
        )
        if len(payload) <= self._body_bytes_max:
            body_start = _FRAME.pack(spec.FRAME_BODY, self._channel, len(payload))
            return b"".join((method_frame, header, properties, _END, body_start, payload, _END))
        return b"".join((method_frame, header, properties, _END, *self._body_frames(payload)))

    def _body_frames(self, payload: bytes) -> list[bytes]:
        """Split a large payload as the connection's frame size demands."""
        frames = []
        for start in range(0, len(payload), self._body_bytes_max):
            part = payload[start : start + self._body_bytes_max]
            frames += [_FRAME.pack(spec.FRAME_BODY, self._channel, len(part)), part, _END]
        return frames

    def _learn(self, routing_key: str) -> tuple[bytes, bytes]:
        if len(self._by_routing_key) >= self.ROUTING_KEYS_MAX:
            self._by_routing_key.clear()
        publish = spec.Basic.Publish(
            exchange=self._exchange,
            routing_key=self._queue or routing_key,
            mandatory=True,
        )
        payload = _UINT32.pack(publish.INDEX) + b"".join(publish.encode())
        method_frame = b"".join(
            (_FRAME.pack(spec.FRAME_METHOD, self._channel, len(payload)), payload, _END)
        )
        known = (method_frame, _short(f"{self._type_prefix}.{routing_key}"))
        self._by_routing_key[routing_key] = known
        return known


def _replay_field(direct: DirectDelivery | None) -> bytes:
    if direct is None:
        return b""
    replay = direct.replay.encode()
    return _REPLAY_FIELD + _UINT32.pack(len(replay)) + replay
