"""Logical messages of the application as events. Pure.

`pg_logical_emit_message` puts bytes of the application's own into the stream. Those with an agreed
prefix say who changes the rows behind them (`context.py`); others become events when a setting
lists their prefix, and are passed over otherwise. All take a number in their transaction, so that
ids do not depend on settings.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bridge.model.change import LogicalMessage

CONTEXT_PREFIX_DEFAULT: Final = "lb.context"

# An event is read by a broker and by people. A message may have a gigabyte; one beyond this is
# told by its size and hash.
CONTENT_BYTES_MAX: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRules:
    """Which messages mean something to us."""

    context_prefix: str | None = CONTEXT_PREFIX_DEFAULT
    """Messages with exactly this prefix say who changes the following rows; None: none does."""
    publish_prefixes: tuple[str, ...] = ()
    """Messages whose prefix begins with one of these become events."""

    def is_context(self, message: LogicalMessage) -> bool:
        """Whether `message` speaks about the rows behind it."""
        return message.prefix == self.context_prefix

    def is_published(self, message: LogicalMessage) -> bool:
        """Whether `message` becomes an event."""
        return message.prefix.startswith(self.publish_prefixes)


def message_data(message: LogicalMessage) -> dict[str, Any]:
    """Return the data of a message's event."""
    data: dict[str, Any] = {
        "prefix": message.prefix,
        "transactional": message.transactional,
        "size_bytes": len(message.content),
    }
    if len(message.content) > CONTENT_BYTES_MAX:
        digest = hashlib.sha256(message.content).hexdigest()
        return {**data, "encoding": "omitted", "sha256": digest}
    return {**data, **_content(message.content)}


def _content(content: bytes) -> dict[str, Any]:
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"encoding": "base64", "content": base64.b64encode(content).decode()}
    if text[:1] in ("{", "["):
        try:
            orjson.loads(content)
        except ValueError:
            pass
        else:
            # Digits and all as the application wrote them; a line feed can only be a blank here.
            line = content.replace(b"\n", b" ").replace(b"\r", b" ")
            return {"encoding": "json", "content": orjson.Fragment(line)}
    return {"encoding": "text", "content": text}
