"""How the catalog differs from what it was, and what that warns of. Pure.

The catalog says how things are now; the stream says how they were when a row was written. So what
is found here is an early warning, labelled with its moment, and never part of a row's shape.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

# Changes by a person are few. A table that is dropped and created anew differs in everything.
CHANGES_TOLD_MAX: Final = 100


class CatalogFacts(NamedTuple):
    """What the catalog said at one moment."""

    as_of: str
    """The server's clock."""
    position: int
    """Where the WAL ended then."""
    scopes: Mapping[str, Mapping[str, Any]]
    """JSON values by `table NAME` and `publication NAME`; empty for what does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogChange:
    """One fact that is not as it was."""

    path: tuple[str, ...]
    """Where it stands: `columns`, `status`, `not_null`."""
    old: Any
    new: Any

    def as_json(self) -> dict[str, Any]:
        """Return it as events show it."""
        return {"fact": list(self.path), "old": self.old, "new": self.new}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[CatalogChange]:
    """Return what differs, in the order of the facts' names."""
    return list(_changes((), old, new))


def _changes(
    path: tuple[str, ...], old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[CatalogChange]:
    for name in sorted({*old, *new}):
        was, now = old.get(name), new.get(name)
        if was == now:
            continue
        here = (*path, name)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            yield from _changes(here, was, now)
        else:
            yield CatalogChange(path=here, old=was, new=now)


def warnings(
    scope: str, old: Mapping[str, Any], new: Mapping[str, Any], ours: frozenset[str]
) -> list[str]:
    """Return what the change of one scope may lead to, in words; `ours` are captured tables."""
    kind, _, name = scope.partition(" ")
    if kind == "publication":
        return list(_publication_warnings(name, old, new, ours))
    return list(_table_warnings(name, old, new))


def lost_tables(
    old: Mapping[str, Mapping[str, Any]],
    new: Mapping[str, Mapping[str, Any]],
    ours: frozenset[str],
) -> list[str]:
    """Return captured tables that some publication sent before and none sends now.

    Their changes are not in the stream, whatever the slot: PostgreSQL 18 passes over a publication
    that is missing, without an error.
    """
    return sorted((_published(old) - _published(new)) & ours)


def found_tables(
    old: Mapping[str, Mapping[str, Any]],
    new: Mapping[str, Mapping[str, Any]],
    ours: frozenset[str],
) -> list[str]:
    """Return captured tables that are sent again."""
    return lost_tables(new, old, ours)


def _published(scopes: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    publications = [facts for scope, facts in scopes.items() if scope.startswith("publication ")]
    sent = {name for facts in publications for name in facts.get("tables", {})}
    # A publication of all tables, or of a schema, does not list them.
    tables = {scope.partition(" ")[2] for scope, facts in scopes.items() if "oid" in facts}
    for facts in publications:
        schemas = facts.get("schemas", [])
        sent |= {
            table
            for table in tables
            if facts.get("all_tables") or table.partition(".")[0] in schemas
        }
    return frozenset(sent)


def _publication_warnings(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], ours: frozenset[str]
) -> Iterator[str]:
    if not new:
        yield (
            f"publication {name!r} is gone: changes of its tables are not sent, and what was "
            "written since is lost to the stream"
        )
        return
    was, now = old.get("tables", {}), new.get("tables", {})
    for table in sorted({*was} - {*now}):
        yield f"table {table!r} was taken out of publication {name!r}: its changes are not sent"
    for table in sorted({*now} - {*was}):
        if table not in ours:
            yield f"table {table!r} was added to publication {name!r}, and no contract maps it"
    for table in sorted({*was} & {*now}):
        if was[table] != now[table]:
            yield f"what publication {name!r} sends of table {table!r} has changed"
    if old and old.get("kinds") != new.get("kinds"):
        yield f"publication {name!r} sends other kinds of changes than before"


def _table_warnings(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    if not new:
        yield f"table {name!r} is gone: its rows left no delete events"
        return
    if old and old.get("oid") != new.get("oid"):
        yield (
            f"table {name!r} is another one under the same name: compare it with the log, and see "
            "that the publication has it"
        )
    if old and old.get("partitions") != new.get("partitions"):
        yield (
            f"partitions of table {name!r} came or went: rows that moved with them left no "
            "events; compare and repair"
        )
    if old and old.get("replica_identity") != new.get("replica_identity"):
        yield f"old rows of table {name!r} will be sent with another replica identity"
