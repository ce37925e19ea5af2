"""Answers about the log as JSON values and as rows of a table: for the API and the shell alike."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from bridge.eventlog.exporting.views.csv_text import BOM, cell
from bridge.eventlog.history.desk import IndexStatus
from bridge.eventlog.history.entity_reader import AsOf, EntityHistory
from bridge.eventlog.history.entity_state import FieldChange
from bridge.eventlog.history.search import SearchPage
from bridge.eventlog.history.told import Hit

COLUMNS: Final = (
    "index", "time", "kind", "subject", "key", "operation", "type", "actor", "reason", "ticket",
    "correlation", "outcome", "action", "recorded", "entry_id",
)  # fmt: skip


def page_json(page: SearchPage) -> dict[str, Any]:
    """Return a page as JSON values."""
    return {
        "hits": [{**asdict(hit), "values": dict(hit.values)} for hit in page.hits],
        "more": page.next_page is not None,
        "next_page": page.next_page,
        "cut": page.cut,
        "searched": page.searched,
        **currency_json(page),
        "first_index": page.first_index,
    }


def currency_json(answer: SearchPage | EntityHistory | AsOf | IndexStatus) -> dict[str, int]:
    """Return how current an answer is."""
    return {"indexed": answer.indexed, "log_size": answer.log_size, "behind": answer.behind}


def history_json(history: EntityHistory) -> dict[str, Any]:
    """Return a history as JSON values."""
    return {
        "steps": [step.as_json() for step in history.steps],
        "omitted": history.omitted,
        "state": history.state.as_json(),
        **currency_json(history),
    }


def as_of_json(found: AsOf) -> dict[str, Any]:
    """Return a state as of a time as JSON values."""
    return {
        **found.state.as_json(),
        "told_by": None if found.step is None else found.step.as_json(),
        "until": None if found.next_step is None else found.next_step.as_json(),
        "caveats": list(found.caveats),
        **currency_json(found),
    }


def hits_csv(pages: Iterable[tuple[Hit, ...]], names: Iterable[str]) -> Iterable[bytes]:
    """Yield CSV for spreadsheets: a header, then a line per hit; `names` are declared fields."""
    fields = sorted(set(names))
    yield BOM + _line([*COLUMNS, *fields])
    for hits in pages:
        for hit in hits:
            row = [getattr(hit, column) for column in COLUMNS]
            yield _line([*row, *(hit.values.get(name) for name in fields)])


def change_text(change: FieldChange) -> str:
    """Return one change as a person reads it."""
    before = change.before or ("(none)" if change.before_known else "(not known)")
    after = change.after or ("(none)" if change.after_known else "(not told)")
    return f"{change.name}: {before} → {after}"


def _line(values: list[Any]) -> bytes:
    return (",".join(cell(value) for value in values) + "\r\n").encode()
