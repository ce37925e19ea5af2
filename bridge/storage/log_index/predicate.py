"""The conditions on rows of the log's index as SQL, for both databases that keep one.

Every piece of text is a constant of this module; values are always parameters.
"""

from collections.abc import Sequence
from typing import Any, Final

from bridge.eventlog.history.index_rows import SLOTS
from bridge.eventlog.history.ports import Placed, Selection

_SLOT_COLUMNS: Final = tuple(f"v{slot}" for slot in range(SLOTS))

ROW_COLUMNS: Final = (
    "leaf_index", "form", "time", "lag", "entity", "former", "actor", "correlation", "ticket",
    *_SLOT_COLUMNS,
)  # fmt: skip


def predicate(selection: Selection, mark: str) -> tuple[str, list[Any]]:
    """Return a condition that begins with ` AND` for each part, and its values.

    `mark` is how the database writes a parameter.
    """
    texts: list[str] = []
    values: list[Any] = []

    def add(text: str, *given: Any) -> None:
        texts.append(f" AND {text}")
        values.extend(given)

    if selection.forms is not None:
        add(f"form IN ({_marks(selection.forms, mark)})", *selection.forms)
    if selection.time is not None:
        add(f"time BETWEEN {mark} AND {mark}", *selection.time)
    if selection.recorded is not None:
        add(f"time + lag BETWEEN {mark} AND {mark}", *selection.recorded)
    if selection.entities is not None:
        marks = _marks(selection.entities, mark)
        add(
            f"(entity IN ({marks}) OR former IN ({marks}))",
            *selection.entities,
            *selection.entities,
        )
    for column in ("actor", "correlation", "ticket"):
        value = getattr(selection, column)
        if value is not None:
            add(f"{column} = {mark}", value)
    for places in selection.fields:
        text, given = _any_place(places, mark)
        add(text, *given)
    return "".join(texts), values


def _any_place(places: Sequence[Placed], mark: str) -> tuple[str, list[Any]]:
    """Return the condition that one of `places` holds."""
    texts, values = ["1 = 0"], []
    for place in places:
        column = _SLOT_COLUMNS[place.slot]
        marks = _marks(place.forms, mark)
        texts.append(f"(form IN ({marks}) AND {column} BETWEEN {mark} AND {mark})")
        values += [*place.forms, place.low, place.high]
    return f"({' OR '.join(texts)})", values


def _marks(values: Sequence[int], mark: str) -> str:
    return ", ".join([mark] * len(values)) or "NULL"
