"""How a table's shape differs from the one before, and what that means to its contract. Pure.

Shapes come from the stream alone; they know names, types, modifiers and the replica identity, and
nothing of NOT NULL, defaults, checks, enum labels or comments: those are the catalog's
(`catalog_facts.py`), which says how it is now and not how it was when a row was written.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from bridge.contracts.contract_fit import ContractFit
from bridge.model.change import Column, Relation


class DriftKind(Enum):
    """What changed; set by `differences` alone."""

    ADDED = "column-added"
    DROPPED = "column-dropped"
    RENAMED = "column-renamed"  # A guess: same place and type, one name gone, another new.
    RETYPED = "column-retyped"
    MODIFIED = "column-modifier-changed"  # Length, precision or scale.
    MOVED = "columns-reordered"
    KEY = "key-columns-changed"  # Which columns the replica identity has.
    IDENTITY = "replica-identity-changed"
    TABLE_RENAMED = "table-renamed"
    RECREATED = "table-recreated"  # Another table under the same name.
    APPEARED = "table-appeared"  # Rows of a table that nobody agreed to capture.


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which a shape differs from the one before."""

    kind: DriftKind
    column: str | None = None
    """The column's name, the old one where it was renamed; None for what concerns the table."""
    old: Any = None
    new: Any = None
    is_guess: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as drift events show it."""
        told: dict[str, Any] = {"kind": self.kind.value}
        if self.column is not None:
            told["column"] = self.column
        if self.old is not None:
            told["old"] = self.old
        if self.new is not None:
            told["new"] = self.new
        if self.is_guess:
            told["guess"] = True
        return told


class Compatibility(Enum):
    """What a new shape means to the contract of its table; set by `judge`."""

    COMPATIBLE = "compatible"
    NEEDS_VERSION = "needs-new-version"  # Events go on, and leave something out.
    BREAKS = "breaks"  # The contract cannot be kept with rows of this shape.


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A judgement and its reasons, in words for a person."""

    compatibility: Compatibility
    reasons: tuple[str, ...]


def differences(old: Relation, new: Relation) -> list[Difference]:
    """Return how `new` differs from `old`; empty when it does not."""
    found: list[Difference] = []
    if new.name != old.name:
        found.append(Difference(kind=DriftKind.TABLE_RENAMED, old=old.name, new=new.name))
    elif new.oid != old.oid:
        found.append(Difference(kind=DriftKind.RECREATED, old=old.oid, new=new.oid))
    renamed = dict(_renamed(old, new))
    found += _column_differences(old, new, renamed)
    if new.identity != old.identity:
        found.append(Difference(kind=DriftKind.IDENTITY, old=old.identity, new=new.identity))
    old_key = [renamed.get(column.name, column.name) for column in old.columns if column.is_key]
    new_key = [column.name for column in new.columns if column.is_key]
    if {*old_key} != {*new_key}:
        told = [column.name for column in old.columns if column.is_key]
        found.append(Difference(kind=DriftKind.KEY, old=told, new=new_key))
    return found


def _column_differences(
    old: Relation, new: Relation, renamed: dict[str, str]
) -> Iterator[Difference]:
    now = {column.name: column for column in new.columns}
    for column in old.columns:
        name = renamed.get(column.name, column.name)
        if name != column.name:
            yield Difference(
                kind=DriftKind.RENAMED, column=column.name, old=column.name, new=name, is_guess=True
            )
        if name not in now:
            yield Difference(kind=DriftKind.DROPPED, column=column.name, old=column_json(column))
        elif now[name].type_oid != column.type_oid:
            yield Difference(
                kind=DriftKind.RETYPED,
                column=name,
                old=column_json(column),
                new=column_json(now[name]),
            )
        elif now[name].type_modifier != column.type_modifier:
            yield Difference(
                kind=DriftKind.MODIFIED,
                column=name,
                old=column.type_modifier,
                new=now[name].type_modifier,
            )
    before = {renamed.get(column.name, column.name) for column in old.columns}
    for column in new.columns:
        if column.name not in before:
            yield Difference(kind=DriftKind.ADDED, column=column.name, new=column_json(column))
    old_order = [renamed.get(column.name, column.name) for column in old.columns]
    kept = [name for name in old_order if name in now]
    if kept != [column.name for column in new.columns if column.name in before]:
        yield Difference(kind=DriftKind.MOVED, old=kept, new=list(now))


def _renamed(old: Relation, new: Relation) -> Iterator[tuple[str, str]]:
    """Yield (old name, new name) of columns that were renamed, by all that the stream shows.

    A rename keeps place and type; dropping one column and adding another moves the new one to the
    end. Only where nothing was added or dropped besides do places compare, so that a dropped last
    column and a new one of its type is the one case that looks the same.
    """
    if len(old.columns) != len(new.columns) or old.oid != new.oid:
        return
    before = {column.name for column in old.columns}
    after = {column.name for column in new.columns}
    for was, now in zip(old.columns, new.columns, strict=True):
        same_type = (was.type_oid, was.type_modifier) == (now.type_oid, now.type_modifier)
        if was.name not in after and now.name not in before and same_type:
            yield was.name, now.name


def judge(found: Sequence[Difference], new: Relation, fit: ContractFit | None) -> Verdict:
    """Return what the differences mean to the contract that fits `new` best (None: none does)."""
    if fit is None:
        return Verdict(
            compatibility=Compatibility.BREAKS,
            reasons=(f"no contract maps table {new.name!r}",),
        )
    name = f"{fit.subject} {fit.version}"
    breaking = [f"{name} needs column {column!r}, which is gone" for column in fit.missing]
    breaking += _retyped(found, fit, name)
    breaking += _key_problems(found, new, fit)
    if breaking:
        return Verdict(compatibility=Compatibility.BREAKS, reasons=tuple(breaking))
    if fit.unmapped:
        return Verdict(
            compatibility=Compatibility.NEEDS_VERSION,
            reasons=tuple(
                f"{name} neither maps nor drops column {column!r}: it is left out of events"
                for column in fit.unmapped
            ),
        )
    return Verdict(compatibility=Compatibility.COMPATIBLE, reasons=tuple(_remarks(found)))


def _retyped(found: Sequence[Difference], fit: ContractFit, name: str) -> Iterator[str]:
    for difference in found:
        column = difference.column
        if difference.kind is not DriftKind.RETYPED or column is None:
            continue
        was_read = fit.reads(column, difference.old["type_oid"])
        if was_read and not fit.reads(column, difference.new["type_oid"]):
            yield (
                f"{name} reads column {column!r} as {fit.field_types[column]}, and its type is "
                f"{difference.new['type_oid']} now"
            )


def _key_problems(found: Sequence[Difference], new: Relation, fit: ContractFit) -> Iterator[str]:
    if not any(difference.kind in (DriftKind.KEY, DriftKind.IDENTITY) for difference in found):
        return
    identity = {column.name for column in new.columns if column.is_key}
    outside = [column for column in fit.key_columns if column not in identity]
    for column in outside:
        yield (
            f"key column {column!r} is not in the replica identity any more: updates of the key "
            "and deletes cannot name their row"
        )


def _remarks(found: Sequence[Difference]) -> Iterator[str]:
    for difference in found:
        if difference.kind is DriftKind.RETYPED:
            yield f"values of {difference.column!r} are checked against the contract one by one"
        elif difference.kind is DriftKind.RECREATED:
            yield (
                "rows of the dropped table left no delete events: compare the table with the log "
                "and repair"
            )


def named_relation(name: str, columns: Sequence[str]) -> Relation:
    """Return a shape of which only names are known, for judging by names alone."""
    schema, _, table = name.partition(".")
    return Relation(
        oid=0,
        schema=schema,
        table=table,
        identity="d",
        columns=tuple(
            Column(name=column, type_oid=0, type_modifier=-1, is_key=False) for column in columns
        ),
    )


def column_json(column: Column) -> dict[str, Any]:
    """Return a column as drift events and stored shapes show it."""
    return {
        "name": column.name,
        "type_oid": column.type_oid,
        "type_modifier": column.type_modifier,
        "key": column.is_key,
    }


def relation_json(relation: Relation) -> dict[str, Any]:
    """Return a shape as drift events and stored shapes show it."""
    return {
        "oid": relation.oid,
        "schema": relation.schema,
        "table": relation.table,
        "identity": relation.identity,
        "columns": [column_json(column) for column in relation.columns],
    }


def parse_relation(tree: dict[str, Any]) -> Relation:
    """Return the shape that `relation_json` showed; raises `KeyError` or `TypeError` if not one."""
    return Relation(
        oid=tree["oid"],
        schema=tree["schema"],
        table=tree["table"],
        identity=tree["identity"],
        columns=tuple(
            Column(
                name=column["name"],
                type_oid=column["type_oid"],
                type_modifier=column["type_modifier"],
                is_key=column["key"],
            )
            for column in tree["columns"]
        ),
    )
