"""What views say of an entry beside its data: the facts of its leaf. Pure."""

from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any, Final, NamedTuple

from bridge.eventlog.exporting.views.columns import Column, ColumnType, utc_moment

_TEXT, _MOMENT, _LOCAL = ColumnType.TEXT, ColumnType.MOMENT, ColumnType.LOCAL

SHORT: Final = (
    Column("index", ColumnType.INTEGER),
    Column("kind", _TEXT),
    Column("id", _TEXT),
    Column("op", _TEXT),
    Column("time_utc", _MOMENT),
    Column("time_local", _LOCAL),
    Column("zone", _TEXT),
)
"""Beside the data of a contract; the rest is found by `index` among the entries."""

FULL: Final = (
    *SHORT,
    Column("recorded_utc", _MOMENT),
    Column("recorded_local", _LOCAL),
    Column("type", _TEXT),
    Column("source", _TEXT),
    Column("contract", _TEXT),
    Column("version", _TEXT),
    Column("table", _TEXT),
    Column("entity", _TEXT),
    Column("correlation", _TEXT),
    Column("actor_id", _TEXT),
    Column("actor_type", _TEXT),
    Column("actor_known", _TEXT),
    Column("action", _TEXT),
    Column("outcome", _TEXT),
    Column("error", _TEXT),
    Column("reason", _TEXT),
    Column("ticket", _TEXT),
    Column("data_sha256", _TEXT),
    Column("fields", ColumnType.JSON),
)


class Zone(NamedTuple):
    """The zone whose wall clock people read."""

    name: str
    rules: tzinfo


def leaf_facts(leaf: dict[str, Any], zone: Zone) -> dict[str, Any]:
    """Return the value of each column of `FULL` for a leaf."""
    fields = leaf["fields"]
    actor = _part(fields, "actor")
    legacy = _part(fields, "legacy")
    _, _, contract = str(fields.get("dataschema") or "").rpartition("contract:")
    subject, _, version = contract.partition(":")
    return {
        "index": leaf["index"],
        "kind": leaf["kind"],
        "id": leaf["id"],
        "op": legacy.get("op"),
        "time_utc": fields.get("time"),
        "time_local": _local(fields.get("time"), zone),
        "zone": zone.name,
        "recorded_utc": fields.get("recordedtime"),
        "recorded_local": _local(fields.get("recordedtime"), zone),
        "type": fields.get("type"),
        "source": fields.get("source"),
        "contract": subject or None,
        "version": version or None,
        "table": legacy.get("table"),
        "entity": leaf.get("entity"),
        "correlation": fields.get("correlation"),
        "actor_id": actor.get("id"),
        "actor_type": actor.get("type"),
        "actor_known": actor.get("known"),
        "action": fields.get("action"),
        "outcome": fields.get("outcome"),
        "error": fields.get("error"),
        "reason": fields.get("reason"),
        "ticket": fields.get("ticket"),
        "data_sha256": leaf["data_sha256"],
        "fields": fields,
    }


def _part(fields: dict[str, Any], name: str) -> dict[str, Any]:
    found = fields.get(name)
    return found if isinstance(found, dict) else {}


def _local(time: Any, zone: Zone) -> datetime | None:
    return _local_of(time, zone) if isinstance(time, str) else None


@lru_cache(maxsize=64)  # All entries of a transaction have one time.
def _local_of(time: str, zone: Zone) -> datetime | None:
    moment = utc_moment(time)
    if moment is None:
        return None
    try:
        return moment.astimezone(zone.rules).replace(tzinfo=None)
    except OverflowError:  # The first and last hours that a calendar has.
        return None
