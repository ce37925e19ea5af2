"""A row's cells → the fields of an event: one generated function per table, and cell by cell.

For each (mapping, relation) pair a function from a row's cells to a field dictionary is generated
from our own text, so that the hot path has one dictionary display and no loop. Both ways use the
very same expressions and readers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from bridge.contracts.conversions import NAMESPACE, code_table, expression
from bridge.contracts.mapping import FieldRule, TableMapping
from bridge.contracts.protection import Protect, protector
from bridge.contracts.structures import NO_BOUNDS, Reader, reader
from bridge.model.change import Relation, Row
from bridge.model.errors import ConfigInvalid

Fields = dict[str, Any]


class Cell(NamedTuple):
    """One field's place in the row, and how it is read."""

    rule: FieldRule
    column: int
    type_oid: int
    is_key: bool
    """Whether the column is part of the replica identity."""
    read: Reader
    exact: Reader | None
    """What stands in the event, where that is more exact than what can be judged."""
    protect: Protect | None


def cells(mapping: TableMapping, relation: Relation) -> tuple[Cell, ...]:
    """Find each field's column; all disagreements are told at once, as `ConfigInvalid`."""
    places = {column.name: index for index, column in enumerate(relation.columns)}
    mapped = {rule.column for rule in mapping.fields}
    unmapped = [name for name in places if name not in mapped and name not in mapping.drop]
    missing = sorted(mapped.difference(places))
    problems = []
    if unmapped:
        problems.append(f"{_columns(unmapped)} neither mapped nor dropped")
    if missing:
        problems.append(f"{_columns(missing)} mapped but not in the table")
    if problems:
        raise ConfigInvalid(
            f"cannot map table {relation.name!r} to contract {mapping.subject!r} version "
            f"{mapping.version}: {'; '.join(problems)}; change 'fields' or 'drop' of its "
            "mapping.yaml"
        )
    return tuple(_cell(mapping, rule, relation, places[rule.column]) for rule in mapping.fields)


def _columns(names: list[str]) -> str:
    listed = ", ".join(map(repr, names))
    return f"column {listed} is" if len(names) == 1 else f"columns {listed} are"


def _cell(mapping: TableMapping, rule: FieldRule, relation: Relation, place: int) -> Cell:
    column = relation.columns[place]
    oid = column.type_oid
    if rule.codes is not None:
        codes = code_table(rule.codes, oid, column.type_modifier)
        return Cell(rule, place, oid, column.is_key, lambda v, _p, _b: codes[v], None, None)
    return Cell(
        rule,
        place,
        oid,
        column.is_key,
        reader(rule.shape, oid),
        reader(rule.shape, oid, exact=True) if rule.shape.is_exact else None,
        _protect(mapping, rule),
    )


def _protect(mapping: TableMapping, rule: FieldRule) -> Protect | None:
    if rule.protect is None:
        return None
    try:
        own_scope = f"{mapping.subject}/{rule.name}"
        return protector(rule.protect, mapping.means.protection, own_scope)
    except ValueError:
        raise ConfigInvalid(
            f"cannot protect field {rule.name!r} of contract {mapping.subject!r} version "
            f"{mapping.version} by {rule.protect.kind!r}: there is no key; set "
            "contracts.protection_key_file"
        ) from None


def row_function(row_cells: tuple[Cell, ...], relation: Relation) -> Callable[[Row], Fields]:
    """Generate the conversion of a whole row whose cells were all sent."""
    namespace = dict(NAMESPACE)
    items = []
    for cell in row_cells:
        variable = f"c{cell.column}"
        body = _body(cell, relation, variable, namespace)
        if body != variable:
            body = f"None if {variable} is None else {body}"
        items.append(f"{cell.rule.name!r}: {body}")
    variables = "".join(f"c{index}, " for index in range(len(relation.columns)))
    source = f"def convert(row):\n    ({variables}) = row\n    return {{{', '.join(items)}}}\n"
    exec(source, namespace)  # noqa: S102 - field names are checked, nothing else is foreign
    convert: Callable[[Row], Fields] = namespace["convert"]
    return convert


def _body(cell: Cell, relation: Relation, variable: str, namespace: dict[str, Any]) -> str:
    """Return the expression of one field; what it needs of its own goes into `namespace`."""
    rule = cell.rule
    if rule.codes is not None:
        name = f"_codes_{rule.name}"
        modifier = relation.columns[cell.column].type_modifier
        namespace[name] = code_table(rule.codes, cell.type_oid, modifier)
        return f"{name}[{variable}]"
    if cell.protect is not None:
        namespace[f"_protect_{rule.name}"] = cell.protect
        return f"_protect_{rule.name}({variable})"
    if rule.shape.is_plain:
        return expression(rule.shape.conversion, cell.type_oid, variable)
    namespace[f"_read_{rule.name}"] = cell.read
    namespace["_NO_BOUNDS"] = NO_BOUNDS
    return f"_read_{rule.name}({variable}, '', _NO_BOUNDS)"


def key_function(names: tuple[str, ...]) -> Callable[[Fields], Fields]:
    """Generate the choice of the key's fields; a missing one raises `KeyError`."""
    items = ", ".join(f"{name!r}: fields[{name!r}]" for name in names)
    choose: Callable[[Fields], Fields] = eval(f"lambda fields: {{{items}}}")  # noqa: S307 - as above
    return choose
