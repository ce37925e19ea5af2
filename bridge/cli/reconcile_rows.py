"""Rows of the tables that `reconcile` prints."""

from typing import Any

from rich.text import Text

from bridge.gateway.reconciliation.findings import Finding, FindingState

_STYLES = {"open": "bold red", "repaired": "yellow", "accepted": "dim"}
COLUMNS = ("key", "group", "entity", "how", "state", "where", "authority", "found", "by")


def finding_row(one: Finding) -> tuple[object, ...]:
    """Return a finding's cells."""
    return (
        one.key,
        one.group,
        one.entity,
        one.divergence.value,
        coloured(one.state),
        ", ".join(one.fields),
        one.authority.value,
        f"{one.found_at:%Y-%m-%d %H:%M:%S}",
        one.origin,
    )


def planned_row(one: dict[str, Any]) -> tuple[object, ...]:
    """Return a planned repair's cells."""
    if "nothing" in one:
        return (one["key"], one["nothing"], "", "", "", "nothing to repair")
    where = ", ".join(
        f"{each['place']}: {each['other']} → {each['authority']}" for each in one["differences"]
    )
    request = f"{one['method']} {one['target']} ({one['body_bytes']} bytes)"
    outcome = f"journalled as {one['intent']}" if "intent" in one else "planned"
    return (one["key"], one["divergence"], one["towards"], request, where, outcome)


def coloured(state: FindingState) -> Text:
    """Return a state in its colour."""
    return Text(state.value, style=_STYLES[state.value])
