"""What becomes of events that an operator had sent again (`log replay --to-queue`). Pure."""

from collections.abc import Sequence
from enum import Enum
from itertools import groupby
from typing import TypeVar

from bridge.consumer.event import ReceivedEvent

Item = TypeVar("Item")


class OnReplay(Enum):
    """Set by the service that consumes: whether it is able to handle an event again."""

    DEDUPLICATE = "deduplicate"  # The default: a replayed event is a duplicate like any other.
    APPLY = "apply"  # Applied once for each replay, also when it was applied before.


def inbox_group(group: str, replay: str | None) -> str:
    """Return under which name the inbox remembers what was applied of a replay."""
    return group if replay is None else f"{group}@{replay}"


def spans(
    items: Sequence[tuple[Item, ReceivedEvent]], on_replay: OnReplay
) -> list[list[tuple[Item, ReceivedEvent]]]:
    """Return `items` in order, cut where the inbox has to remember under another name."""
    if on_replay is OnReplay.DEDUPLICATE:
        return [list(items)]
    return [list(span) for _, span in groupby(items, key=lambda item: item[1].replay)]
