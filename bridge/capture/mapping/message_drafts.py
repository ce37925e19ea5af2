"""Entries of a transaction beside those of its rows: messages, its begin and its end. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from bridge.capture.mapping.context import NOBODY_SAID, Context, ContextRefused, parse_context
from bridge.capture.mapping.leaf_fields import Moment, place
from bridge.capture.mapping.messages import MessageRules, message_data
from bridge.capture.mapping.own_events import Envelope, OwnEvents
from bridge.model.change import LogicalMessage, TransactionPart
from bridge.model.entry import EntryDraft
from bridge.model.observer import Observer


class MessageDrafts:
    """Takes in the messages of one source."""

    def __init__(
        self, source: str, rules: MessageRules, events: OwnEvents, observer: Observer
    ) -> None:
        self._source = source
        self._rules = rules
        self._events = events
        self._observer = observer

    def take(
        self, message: LogicalMessage, envelope: Envelope, moment: Moment
    ) -> tuple[EntryDraft | None, Moment]:
        """Return the entry of `message`, if it has one, and the moment of the changes behind it."""
        envelope = envelope._replace(key=message.prefix)
        if self._rules.is_context(message):
            said = _context(message)
            draft = None
            if isinstance(said, ContextRefused):
                draft = self._refused(message, envelope, said, moment)
                said = said.as_context()
            # What stands for itself says nothing about rows.
            return draft, moment._replace(context=said) if message.transactional else moment
        if not self._rules.is_published(message):
            return None, moment
        fields: Mapping[str, Any] = {
            **NOBODY_SAID.fields,
            "legacy": {**place(moment), "op": "message"},
        }
        attributes = b""
        if moment.context is not None:
            fields = {**fields, **moment.context.fields}
            attributes = moment.context.attributes
        data = message_data(message)
        return (
            self._events.event("message", envelope, data, fields=fields, attributes=attributes),
            moment,
        )

    def _refused(
        self,
        message: LogicalMessage,
        envelope: Envelope,
        refused: ContextRefused,
        moment: Moment,
    ) -> EntryDraft:
        self._observer.note("context_refused", source=self._source, error=refused.reason)
        return self._events.parked(
            "message",
            envelope,
            message_data(message),
            reason=f"the context message {refused.reason}",
            fields={**NOBODY_SAID.fields, "legacy": {**place(moment), "op": "message"}},
        )


class Boundaries:
    """Begin and end of each transaction as events; they take no number in it."""

    def __init__(self, events: OwnEvents) -> None:
        self._events = events

    def begin(
        self, part: TransactionPart, envelope: Envelope, moment: Moment
    ) -> Iterator[EntryDraft]:
        """Yield the event before the first change; `envelope` is that change's."""
        if part.first_ordinal == 0 and part.changes and part.xid:
            yield self._boundary("begin", part, envelope, moment, part.change_count)

    def end(
        self, part: TransactionPart, envelope: Envelope, moment: Moment
    ) -> Iterator[EntryDraft]:
        """Yield the event behind the last change; `envelope` is that change's."""
        reached = part.first_ordinal + len(part.changes)
        if part.final and reached and part.xid:
            yield self._boundary("end", part, envelope, moment, reached)

    def _boundary(
        self,
        which: str,
        part: TransactionPart,
        envelope: Envelope,
        moment: Moment,
        total: int | None,
    ) -> EntryDraft:
        data: dict[str, Any] = {"status": which, "xid": part.xid, "lsn": moment.lsn}
        if total is not None:
            data["changes"] = total
        if part.origin is not None:
            data["origin"] = part.origin
        return self._events.event(
            "transaction",
            envelope._replace(event_id=f"{envelope.event_id}-{which}", key=str(part.xid)),
            data,
            fields={**NOBODY_SAID.fields, "legacy": {**place(moment), "op": which}},
        )


def _context(message: LogicalMessage) -> Context | ContextRefused | None:
    if not message.transactional:
        return ContextRefused("stands outside a transaction, so that no rows follow it")
    return parse_context(message.content)
