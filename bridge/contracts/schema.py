"""A contract's JSON Schema: what may stand in it, and the compiled check of an event's data.

Two validators see every schema: `jsonschema-rs` on the hot path (below 1 µs for a row of a dozen
columns) and `jsonschema` for the meta-schema and the examples. Formats are rewritten as patterns
for the first, because a callback into Python costs half a microsecond per value.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

import jsonschema  # type: ignore[import-untyped]  # its stubs are not among our dependencies
import jsonschema_rs

from bridge.contracts.formats import CHECKS, PATTERNS

JsonSchema: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

# Where subschemas stand (JSON Schema 2020-12, core and applicator vocabularies).
_ONE = (
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_MANY = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "dependentSchemas", "patternProperties", "properties")
# fmt: off
_PLAIN = (
    "$anchor", "$comment", "$id", "$ref", "$schema", "const", "contentEncoding",
    "contentMediaType", "default", "dependentRequired", "deprecated", "description", "enum",
    "examples", "exclusiveMaximum", "exclusiveMinimum", "format", "maxContains", "maxItems",
    "maxLength", "maxProperties", "maximum", "minContains", "minItems", "minLength",
    "minProperties", "minimum", "multipleOf", "pattern", "readOnly", "required", "title",
    "type", "uniqueItems", "writeOnly",
)
# fmt: on
KEYWORDS: Final = frozenset((*_ONE, *_MANY, *_NAMED, *_PLAIN))
"""Keywords that a contract may use, beside annotations that begin with `x-lb-`."""

_PATHS: Final = {"type": "array", "items": {"type": "string"}}
MEMBERS: Final[dict[str, JsonSchema]] = {
    "unavailable": {**_PATHS, "description": "Fields that did not change and were not sent."},
    "refilled": {
        **_PATHS,
        "description": "Fields that were not sent; their value is the last one in our log.",
    },
    "base64": {
        **_PATHS,
        "description": "Paths of texts that are not UTF-8 in the source and are written so.",
    },
    "bounds": {
        "description": "Path of an array to its first subscripts, where they are not 1.",
        "type": "object",
        "additionalProperties": {"type": "array", "items": {"type": "integer"}},
    },
    "decode_error": {
        "description": "Columns that could not be read, as the source sent them.",
        "type": "array",
        "items": {
            "type": "object",
            "required": ["path", "type"],
            "properties": {
                "path": {"type": "string"},
                "type": {"type": "string"},
                "text": {"type": "string"},
                "base64": {"type": "string"},
            },
        },
    },
}
"""What an event's data may have beside `key`, `after` and `before`, as schemas may declare it."""

# Paths deeper than this lead into a JSON column, whose keys are the legacy system's data.
_PATH_DEPTH_MAX = 2


def subschemas(schema: Any, pointer: str = "#") -> Iterator[tuple[str, JsonSchema]]:
    """Yield (JSON pointer, schema) for `schema` and every schema object inside it."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema
    for keyword, below in schema.items():
        if keyword in _ONE:
            yield from subschemas(below, f"{pointer}/{keyword}")
        elif keyword in _MANY and isinstance(below, list):
            for index, one in enumerate(below):
                yield from subschemas(one, f"{pointer}/{keyword}/{index}")
        elif keyword in _NAMED and isinstance(below, dict):
            for name, one in below.items():
                yield from subschemas(one, f"{pointer}/{keyword}/{name}")


def schema_problems(schema: Any) -> list[str]:
    """Return what forbids using `schema` for a contract; empty when it can be used."""
    if not isinstance(schema, dict):
        return ["expected an object"]
    if schema.get("$schema") != DIALECT:
        return [f"'$schema' must be {DIALECT!r}"]
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as exc:
        where = "/".join(["#", *map(str, exc.absolute_path)])
        return [f"{where}: breaks rule {exc.validator!r} of the 2020-12 meta-schema"]
    problems: list[str] = []
    for pointer, node in subschemas(schema):
        problems += _keyword_problems(pointer, node)
        reference = node.get("$ref")
        if reference is not None and resolve(schema, reference) is None:
            problems.append(
                f"{pointer}/$ref: {reference!r} leads nowhere in this file; "
                "only references of the form '#/…' are followed"
            )
    return problems


def _keyword_problems(pointer: str, node: JsonSchema) -> Iterator[str]:
    for keyword in node:
        if keyword not in KEYWORDS and not keyword.startswith("x-lb-"):
            near = difflib.get_close_matches(keyword, KEYWORDS, n=1, cutoff=0.6)
            hint = f"did you mean {near[0]!r}?" if near else "annotations begin with 'x-lb-'"
            yield f"{pointer}: unknown keyword {keyword!r}; {hint}"
    name = node.get("format")
    if name is not None and name not in PATTERNS:
        yield f"{pointer}: format {name!r} is not checked here; known: {', '.join(PATTERNS)}"


def resolve(schema: JsonSchema, reference: object) -> Any:
    """Return what a local JSON pointer reference names in `schema`, or None."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    node: Any = schema
    for token in reference[1:].split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if not isinstance(node, dict) or name not in node:
            return None
        node = node[name]
    return node if reference == "#" or reference.startswith("#/") else None


def row_schema(schema: JsonSchema) -> JsonSchema | None:
    """Return the schema of the row in `after`, local references followed, or None."""
    node = schema.get("properties", {}).get("after")
    for _ in range(8):  # References to references end somewhere; more than a few is a circle.
        if not isinstance(node, dict) or "$ref" not in node:
            break
        node = resolve(schema, node["$ref"])
    return node if isinstance(node, dict) and "properties" in node else None


def takes_member(schema: JsonSchema, name: str) -> bool:
    """Whether data may have the member `name` beside its rows, as far as the top of `schema` says.

    Members are `MEMBERS`; a schema that is closed and does not list one refuses events that need
    it, which is then a breach.
    """
    closed = schema.get("additionalProperties") is False
    closed = closed or schema.get("unevaluatedProperties") is False
    return name in schema.get("properties", {}) or not closed


def _formats_as_patterns(node: Any) -> Any:
    """Return a copy of a schema whose formats are also written as patterns."""
    if not isinstance(node, dict):
        return node
    copy: JsonSchema = {}
    for keyword, below in node.items():
        if keyword in _ONE:
            copy[keyword] = _formats_as_patterns(below)
        elif keyword in _MANY:
            copy[keyword] = [_formats_as_patterns(one) for one in below]
        elif keyword in _NAMED:
            copy[keyword] = {name: _formats_as_patterns(one) for name, one in below.items()}
        else:
            copy[keyword] = below
    name = copy.pop("format", None)
    if name is not None:
        copy["allOf"] = [*copy.get("allOf", ()), {"pattern": PATTERNS[name]}]
    return copy


class DataSchema:
    """The compiled schema of an event's `data`. Immutable; safe to share between threads."""

    def __init__(self, schema: JsonSchema) -> None:
        """Compile `schema`, which has no `schema_problems`."""
        self.schema = schema
        quick = jsonschema_rs.Draft202012Validator(
            _formats_as_patterns(schema), validate_formats=False, offline=True
        )
        self.is_valid = quick.is_valid
        """Whether `data` fits; takes what `orjson.loads` gives."""
        self._explaining = jsonschema_rs.Draft202012Validator(
            schema, validate_formats=True, formats=dict(CHECKS), offline=True
        )
        checker = jsonschema.FormatChecker(formats=())
        for name, check in CHECKS.items():
            checker.checks(name)(check)
        self._second = jsonschema.Draft202012Validator(schema, format_checker=checker)

    def reason(self, data: Any) -> str | None:
        """Return why `data` does not fit, or None when it does.

        Names the path and the rule, never the value; a path into a JSON column is cut, since its
        keys are data as well.
        """
        if self.is_valid(data):
            return None
        errors = list(self._explaining.iter_errors(data))
        if not errors:  # A bug of ours or of a library; the event is kept aside all the same.
            return "/: refused by the quick validator, accepted by the explaining one"
        first = errors[0]
        more = f"; {len(errors) - 1} more" if len(errors) > 1 else ""
        return f"{_data_path(first.instance_path)}: {_rule(first, self.schema)}{more}"

    def agreed(self, data: Any) -> bool:
        """Whether `data` fits by both validators.

        Raises:
            ValueError: they disagree, for example over a `pattern` that they read differently.
        """
        fits = self.is_valid(data)
        if fits != bool(self._second.is_valid(data)):
            raise ValueError("the two JSON Schema validators disagree")
        return fits


def _data_path(tokens: Sequence[str | int]) -> str:
    path = "".join(f"/{token}" for token in tokens[:_PATH_DEPTH_MAX])
    return (path or "/") + ("/…" if len(tokens) > _PATH_DEPTH_MAX else "")


def _rule(error: jsonschema_rs.ValidationError, schema: Mapping[str, Any]) -> str:
    """Say which rule of the schema was broken; its parameter comes from the schema alone."""
    where = "#/" + "/".join(map(str, error.schema_path))
    keyword = str(error.schema_path[-1]) if error.schema_path else "false"
    parameter: Any = schema
    for token in error.schema_path:
        try:
            parameter = parameter[token]
        except (KeyError, IndexError, TypeError):  # Evaluated through a $ref: told by its path.
            return f"breaks rule {keyword!r} at {where}"
    if isinstance(parameter, str | int | float):
        return f"breaks rule {keyword!r} ({parameter!r}) at {where}"
    return f"breaks rule {keyword!r} at {where}"
