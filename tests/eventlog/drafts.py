"""Drafts as capture makes them, and a check of a whole log."""

from bridge.model.entry import CursorMove, EntryDraft, EntryKind


def draft(number: int, *, source: str = "shop", size: int = 40) -> EntryDraft:
    """Return the draft of one event."""
    return EntryDraft(
        kind=EntryKind.EVENT,
        entry_id=f"{source}:{number:016X}:{0:08X}",
        fields={"source": source, "position": {"lsn": f"{number:016X}", "table": "public.orders"}},
        payload=b'{"data":{"after":{"id":%d,"pad":"%b"}}}' % (number, b"x" * size),
        routing_key="shop.order.updated.v1",
        partition_key=f'{{"order_id":{number % 7}}}',
    )


def drafts(start: int, stop: int, *, source: str = "shop") -> list[EntryDraft]:
    """Return the drafts of a run of events."""
    return [draft(number, source=source) for number in range(start, stop)]


def move(expected_version: int, *, source: str = "shop") -> CursorMove:
    """Return a cursor's next step."""
    return CursorMove(source, expected_version, b'{"step":%d}' % expected_version)
