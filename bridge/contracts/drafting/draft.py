"""A first contract for a table, for a person to edit: schema, mapping and examples.

What the catalog knows is filled in: types, lengths, which fields may be null, the key, where each
field comes from (`x-lb-lineage`). What only people know is left as a plain question: what a field
means, which columns should stay inside, what the codes stand for.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.contracts.drafting.description import ColumnDescription, TableDescription
from bridge.contracts.drafting.field_schema import example_value, field_schema, or_null
from bridge.contracts.drafting.naming import NamingRule
from bridge.contracts.field_types import parse_type
from bridge.contracts.schema import DIALECT, JsonSchema

VERSION = "1.0"

# What cannot name an entity (see `mapping`).
_NO_KEY = frozenset(
    ("json", "bytes", "float", "array", "range", "multirange", "object", "hstore", "text")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContractDraft:
    """The files of one contract, by their path below the contracts folder."""

    subject: str
    table: str
    files: Mapping[str, str]
    notes: tuple[str, ...]
    """What a person should look at first."""


def draft_contract(
    table: TableDescription, *, source: str, domain: str, naming: NamingRule
) -> ContractDraft:
    """Return the first contract of `table`; the same table gives the same text."""
    columns = [column for column in table.columns if not column.generated]
    names = naming.fields(column.name for column in columns)
    subject = naming.subject(domain, table.table)
    key, notes = _key(table, columns)
    key_fields = [names[column] for column in key]
    folder = f"{subject}/{VERSION}"
    schema = _schema(table, columns, names, key_fields)
    examples = _examples(columns, names, key_fields)
    files = {
        f"{folder}/schema.json": _json(schema),
        f"{folder}/mapping.yaml": _mapping(table, columns, names, key_fields, source, subject),
        **{f"{folder}/examples/{name}.json": _json(data) for name, data in examples.items()},
    }
    notes += [
        f"column {column.name!r} has type {column.sql_type!r}, which is passed on as text"
        for column in columns
        if column.type["type"] == "text"
    ]
    notes += [
        f"column {column.name!r} is computed by the database and is not in the contract"
        for column in table.columns
        if column.generated
    ]
    return ContractDraft(subject=subject, table=table.name, files=files, notes=tuple(notes))


def _key(
    table: TableDescription, columns: list[ColumnDescription]
) -> tuple[tuple[str, ...], list[str]]:
    if not table.key:
        return (), ["it has no primary key: only its inserts can be told apart"]
    types = {column.name: column.type["type"] for column in columns}
    unfit = [name for name in table.key if types.get(name, "json") in _NO_KEY]
    if unfit:
        return (), [f"key column {unfit[0]!r} is of a type that cannot name an entity"]
    return table.key, []


def _schema(
    table: TableDescription,
    columns: list[ColumnDescription],
    names: Mapping[str, str],
    key: list[str],
) -> JsonSchema:
    may_be_long = [
        names[column.name]
        for column in columns
        if parse_type(dict(column.type)).may_be_long and names[column.name] not in key
    ]
    row = {names[column.name]: _property(table, column) for column in columns}
    reference = {name: {"$ref": f"#/$defs/row/properties/{name}"} for name in row}
    properties: JsonSchema = {
        "key": {"type": "null", "description": "The table has no key."},
        "after": {"$ref": "#/$defs/row"},
        "before": {
            "description": "What is known of the row before the change.",
            "type": "object",
            "properties": reference,
            "required": key,
            "additionalProperties": False,
        },
    }
    if key:
        properties["key"] = {
            "description": "Names the row; null when the whole table was emptied.",
            "type": ["object", "null"],
            "properties": {name: reference[name] for name in key},
            "required": key,
            "additionalProperties": False,
        }
    if may_be_long:
        properties["unavailable"] = {
            "description": "Long values that did not change and were not sent.",
            "type": "array",
            "items": {"enum": may_be_long},
            "uniqueItems": True,
        }
    return {
        "$schema": DIALECT,
        "title": table.table,
        "description": table.comment or f"A row of {table.name}; say what it means.",
        "type": "object",
        "properties": properties,
        "required": ["key"],
        # What later versions of the gateway say beside these is not this contract's promise.
        "additionalProperties": True,
        "$defs": {
            "row": {
                "description": "The row after the change.",
                "type": "object",
                "properties": row,
                "required": [name for name in row if name not in may_be_long],
                "additionalProperties": False,
            }
        },
    }


def _property(table: TableDescription, column: ColumnDescription) -> JsonSchema:
    schema = field_schema(column.type, column.limits)
    return {
        "description": column.comment or f"Column {column.name}; say what it means.",
        "x-lb-lineage": {
            "table": table.name,
            "column": column.name,
            "type": column.sql_type,
        },
        **(or_null(schema) if column.nullable else schema),
    }


def _examples(
    columns: list[ColumnDescription], names: Mapping[str, str], key: list[str]
) -> dict[str, Any]:
    row = {names[column.name]: example_value(column.type, column.limits) for column in columns}
    named = {name: row[name] for name in key} if key else None
    examples: dict[str, Any] = {
        "valid-created": {"key": named, "after": row},
        "invalid-unknown-field": {"key": named, "after": {**row, "no such field": 1}},
    }
    if key:
        examples["valid-deleted"] = {"key": named, "before": named}
    return examples


def _mapping(
    table: TableDescription,
    columns: list[ColumnDescription],
    names: Mapping[str, str],
    key: list[str],
    source: str,
    subject: str,
) -> str:
    lines = [
        f"# First draft for {table.name}. Rename fields, move columns to `drop`, add `codes`.",
        f"subject: {subject}",
        f'version: "{VERSION}"',
        f"source: {source}",
        f"table: {_scalar(table.name)}",
        f"key: [{', '.join(map(_scalar, key))}]",
        "fields:",
    ]
    width = max((len(_scalar(name)) for name in names.values()), default=0)
    for column in columns:
        rule = {"column": column.name, **column.type}
        name = _scalar(names[column.name])
        padding = " " * (width - len(name))
        # A flow mapping of YAML is JSON with or without quotes around plain words.
        lines.append(f"  {name}: {padding}{_flow(rule)}  # {column.sql_type}")
    lines.append("drop: []")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name}: {_flow(below)}" for name, below in value.items()) + "}"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """Return `value` as YAML: quoted unless it is a plain word that cannot mean anything else."""
    text = str(value)
    plain = text.replace("_", "").replace(".", "").isalpha() and text.isascii()
    ambiguous = text.lower() in ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
    return text if plain and not ambiguous else json.dumps(text, ensure_ascii=False)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
