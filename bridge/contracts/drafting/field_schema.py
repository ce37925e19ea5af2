"""JSON Schema and an example value for a field, from its type alone."""

from collections.abc import Mapping
from typing import Any, Final

from bridge.contracts.schema import JsonSchema

_NOT_FINITE: Final = {"enum": ["NaN", "Infinity", "-Infinity"]}

# What a value of the type looks like in an event, and one that fits.
_SHAPES: Final[dict[str, tuple[JsonSchema, Any]]] = {
    "string": ({"type": "string"}, "text"),
    "integer": ({"type": "integer"}, 1),
    "decimal": ({"type": "string", "format": "decimal"}, "1"),
    "float": ({"anyOf": [{"type": "number"}, _NOT_FINITE]}, 1.5),
    "boolean": ({"type": "boolean"}, True),
    "date": ({"type": "string", "format": "date"}, "2024-12-01"),
    # With and without offset: only the column knows, and it may be either.
    "time": ({"type": "string"}, "10:11:12"),
    "timestamp": ({"type": "string", "format": "local-date-time"}, "2024-12-01T10:11:12"),
    "timestamptz": ({"type": "string", "format": "date-time"}, "2024-12-01T10:11:12Z"),
    "interval": ({"type": "string"}, "P1D"),
    "uuid": ({"type": "string", "format": "uuid"}, "123e4567-e89b-12d3-a456-426614174000"),
    "json": ({}, {}),
    "bytes": ({"type": "string", "contentEncoding": "base64"}, "AAE="),
    "text": (
        {
            "type": "object",
            "properties": {"type": {"type": "string"}, "text": {"type": "string"}},
            "required": ["type", "text"],
            "additionalProperties": False,
        },
        {"type": "text", "text": "1"},
    ),
    "array": ({"type": "array"}, []),
    "multirange": ({"type": "array"}, []),
    "range": ({"type": "object"}, {"empty": True}),
    "object": ({"type": "object"}, {}),
    "hstore": ({"type": "object"}, {}),
}


def field_schema(type_tree: Mapping[str, Any], limits: Mapping[str, Any]) -> JsonSchema:
    """Return the schema of a value that is not null."""
    if type_tree.get("as") == "string":
        return {"type": "string", "pattern": "^-?[0-9]{1,20}$"}
    shape, _ = _SHAPES[type_tree["type"]]
    return {**shape, **limits}


def or_null(schema: JsonSchema) -> JsonSchema:
    """Return `schema` with null allowed beside it."""
    if not schema:
        return schema  # It lets everything pass.
    if "type" in schema and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    if set(schema) == {"anyOf"}:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def example_value(type_tree: Mapping[str, Any], limits: Mapping[str, Any]) -> Any:
    """Return a value that fits `field_schema` of the same arguments."""
    if "enum" in limits:
        return limits["enum"][0]
    if type_tree.get("as") == "string":
        return "1"
    _, value = _SHAPES[type_tree["type"]]
    longest = limits.get("maxLength")
    return value[:longest] if isinstance(value, str) and longest is not None else value
