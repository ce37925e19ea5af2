"""Schemas of a document as JSON Schema 2020-12, compiled.

3.1 has that dialect by itself. 3.0 has one of its own (OpenAPI 3.0.4, 4.8.24), which is translated:
`nullable`, boolean `exclusiveMinimum`, references that hide what stands beside them. In both,
`discriminator` chooses the one alternative that holds, and what is `readOnly` need not stand in a
request, what is `writeOnly` not in an answer.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import jsonschema_rs

from bridge.gateway.openapi.reading import DocumentFaultError, Tree, below

Schema: TypeAlias = dict[str, Any] | bool

IN_REQUEST: Final = "readOnly"
IN_ANSWER: Final = "writeOnly"
"""The two directions, by what need not stand there."""

# What a schema inside another one may hold more of: it bounds our recursion.
_DEPTH_MAX: Final = 64
# Steps of a pattern with look-around; others take linear time.
_PATTERN_STEPS_MAX: Final = 10_000

_COPIED: Final = frozenset(
    (
        "type", "enum", "const", "multipleOf", "maximum", "exclusiveMaximum", "minimum",
        "exclusiveMinimum", "maxLength", "minLength", "pattern", "maxItems", "minItems",
        "uniqueItems", "maxContains", "minContains", "maxProperties", "minProperties", "required",
        "dependentRequired", "format",
    )
)  # fmt: skip
_ONE: Final = frozenset(
    (
        "items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else",
        "unevaluatedItems", "unevaluatedProperties",
    )
)  # fmt: skip
_MANY: Final = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED: Final = frozenset(("properties", "patternProperties", "dependentSchemas"))
_NOT_30: Final = frozenset(
    (
        "const", "contains", "propertyNames", "if", "then", "else", "unevaluatedItems",
        "unevaluatedProperties", "prefixItems", "patternProperties", "dependentSchemas",
        "dependentRequired", "maxContains", "minContains",
    )
)  # fmt: skip
_RANGES: Final = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
}


class _Definition(NamedTuple):
    """A schema that references lead to, translated."""

    schema: Schema
    needs: frozenset[str]
    """References in it."""


class SchemaBook:
    """The schemas of one document for one direction; each is translated and compiled once."""

    def __init__(self, tree: Tree, direction: str) -> None:
        self._tree = tree
        self._direction = direction
        self._definitions: dict[str, _Definition] = {}
        self._names: dict[str, str] = {}
        self._compiled: dict[str, jsonschema_rs.Draft202012Validator] = {}
        self.property_names: set[str] = set()
        """Every name that a schema declares for a member."""

    def validator(self, schema: object, pointer: str) -> jsonschema_rs.Draft202012Validator:
        """Return a validator of the schema that stands at `pointer`.

        Raises:
            DocumentFaultError: it is no schema, or a reference or pattern in it cannot be used.
        """
        key = pointer
        if isinstance(schema, dict) and schema.keys() == {"$ref"}:
            key = str(schema["$ref"])
        if key not in self._compiled:
            self._compiled[key] = self._compile(schema, pointer)
        return self._compiled[key]

    def _compile(self, schema: object, pointer: str) -> jsonschema_rs.Draft202012Validator:
        work = _Translation(self._tree, self._direction, self._names, self.property_names)
        root = work.schema(schema, pointer, 0)
        left, needed = list(work.needs), set[str]()
        while left:
            reference = left.pop()
            if reference in needed:
                continue
            needed.add(reference)
            if reference not in self._definitions:
                inner = _Translation(self._tree, self._direction, self._names, self.property_names)
                target, at = self._tree.target(reference, pointer)
                made = inner.schema(target, at, 0)
                self._definitions[reference] = _Definition(made, frozenset(inner.needs))
            left += self._definitions[reference].needs
        whole = {
            "allOf": [root],
            "$defs": {self._names[one]: self._definitions[one].schema for one in sorted(needed)},
        }
        try:
            return jsonschema_rs.Draft202012Validator(
                whole,
                validate_formats=True,
                offline=True,
                pattern_options=jsonschema_rs.FancyRegexOptions(backtrack_limit=_PATTERN_STEPS_MAX),
            )
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as exc:
            raise DocumentFaultError(*self._fault(exc, pointer)) from exc

    def _fault(self, exc: Exception, pointer: str) -> tuple[str, str]:
        path = list(getattr(exc, "instance_path", ()))
        if path[:2] == ["allOf", 0]:
            path = path[2:]
        elif path[:1] == ["$defs"]:
            origin = {name: reference for reference, name in self._names.items()}
            pointer, path = origin[str(path[1])][1:], path[2:]
        return functools.reduce(below, path, pointer), "is not what a schema may say there"


class _Translation:
    """One schema on its way."""

    def __init__(
        self, tree: Tree, direction: str, names: dict[str, str], property_names: set[str]
    ) -> None:
        self._tree = tree
        self._direction = direction
        self._names = names
        self._property_names = property_names
        self.needs: set[str] = set()

    def schema(self, given: object, pointer: str, depth: int) -> Schema:
        """Return `given`, which stands at `pointer`."""
        if depth > _DEPTH_MAX:
            raise DocumentFaultError(pointer, f"is a schema more than {_DEPTH_MAX} levels deep")
        if isinstance(given, bool):
            return given
        if not isinstance(given, dict):
            raise DocumentFaultError(pointer, "is no schema")
        if "$dynamicRef" in given or "$recursiveRef" in given:
            raise DocumentFaultError(pointer, "has a dynamic reference, which is not understood")
        if "$ref" in given and self._tree.is_30:
            found: dict[str, Any] = {"$ref": self._reference(given["$ref"], pointer)}
        else:
            found = self._members(given, pointer, depth)
            if "$ref" in given:
                found["$ref"] = self._reference(given["$ref"], pointer)
            self._choose(given, found, pointer)
        if self._tree.is_30 and given.get("nullable") is True:
            return _or_null(found)
        return found

    def _members(self, given: Mapping[str, Any], pointer: str, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in given.items():
            if self._tree.is_30 and name in _NOT_30:
                continue
            at = below(pointer, name)
            if name in _COPIED:
                found[name] = value
            elif name in _ONE:
                found[name] = self.schema(value, at, depth + 1)
            elif name in _MANY:
                if not isinstance(value, list) or not value:
                    raise DocumentFaultError(at, "is no list of schemas")
                found[name] = [
                    self.schema(one, below(at, number), depth + 1)
                    for number, one in enumerate(value)
                ]
            elif name in _NAMED:
                inner = self._tree.object_at(value, at)
                if name == "properties":
                    self._property_names.update(inner)
                found[name] = {
                    key: self.schema(one, below(at, key), depth + 1) for key, one in inner.items()
                }
        for word in ("anyOf", "oneOf"):
            options = found.get(word, ())
            rest = [option for option in options if option != {"type": "null"}]
            if len(options) == 2 and len(rest) == 1:
                del found[word]
                found["allOf"] = [*found.get("allOf", ()), _unless_null(rest[0])]
        self._adjust(given, found, pointer)
        return found

    def _adjust(self, given: Mapping[str, Any], found: dict[str, Any], pointer: str) -> None:
        if "required" in found and isinstance(found["required"], list):
            self._property_names.update(map(str, found["required"]))
            free = self._free(given, pointer, 0)
            found["required"] = [name for name in found["required"] if name not in free]
        if self._tree.is_30:
            for bound, limit in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
                exclusive = found.get(bound)
                if isinstance(exclusive, bool):
                    del found[bound]
                    if exclusive and limit in found:
                        found[bound] = found.pop(limit)
        ranged = _RANGES.get(str(found.get("format")))
        if ranged is not None and found.get("type") in ("integer", ["integer", "null"]):
            found["allOf"] = [*found.get("allOf", ()), dict(ranged)]

    def _free(self, given: Mapping[str, Any], pointer: str, depth: int) -> set[str]:
        """Return the members that need not stand in this direction, of what `given` is all of."""
        free = set()
        for name, member, at in self._tree.members(
            given.get("properties"), f"{pointer}/properties"
        ):
            found, _ = self._tree.resolved(member, at)
            beside = member.get(self._direction) if isinstance(member, dict) else None
            if beside is True or (isinstance(found, dict) and found.get(self._direction) is True):
                free.add(name)
        parts = given.get("allOf")
        if depth < 8 and isinstance(parts, list):
            for number, part in enumerate(parts):
                found, at = self._tree.resolved(part, below(f"{pointer}/allOf", number))
                if isinstance(found, dict):
                    free |= self._free(found, at, depth + 1)
        return free

    def _reference(self, reference: object, pointer: str) -> str:
        self._tree.target(reference, pointer)
        assert isinstance(reference, str), "a target was found"
        name = self._names.setdefault(reference, f"r{len(self._names)}")
        self.needs.add(reference)
        return f"#/$defs/{name}"

    def _choose(self, given: Mapping[str, Any], found: dict[str, Any], pointer: str) -> None:
        """Let the discriminator choose among alternatives, where all are references."""
        chooser, at = given.get("discriminator"), f"{pointer}/discriminator"
        word = "oneOf" if "oneOf" in given else "anyOf"
        options = given.get(word)
        if chooser is None or not isinstance(options, list) or word not in found:
            return
        name = self._tree.object_at(chooser, at).get("propertyName")
        if not isinstance(name, str):
            raise DocumentFaultError(at, "has no 'propertyName'")
        if not all(isinstance(option, dict) and option.keys() == {"$ref"} for option in options):
            return
        values: dict[str, list[str]] = {option["$ref"]: [] for option in options}
        for value, target, where in self._tree.members(chooser.get("mapping"), f"{at}/mapping"):
            reference = self._mapped(target, values)
            if reference is None:
                raise DocumentFaultError(where, "is none of the alternatives")
            values[reference].append(value)
        for reference, said in values.items():
            # The name of the schema stands for it, whether or not it is mapped as well.
            said.append(reference.rpartition("/")[2])
        del found[word]
        self._property_names.add(name)
        branches: list[Schema] = [
            {"if": _says(name, said), "then": {"$ref": self._reference(reference, pointer)}}
            for reference, said in values.items()
        ]
        everything = [value for said in values.values() for value in said]
        found["allOf"] = [*found.get("allOf", ()), _says(name, everything), *branches]

    @staticmethod
    def _mapped(target: object, values: Mapping[str, Any]) -> str | None:
        matches: tuple[Callable[[str], bool], ...] = (
            lambda reference: reference == target,
            lambda reference: reference.rpartition("/")[2] == target,
        )
        return next((one for match in matches for one in values if match(one)), None)


def _says(name: str, values: list[str]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"enum": values}}}


def _or_null(schema: dict[str, Any]) -> Schema:
    """Let null pass, whatever else stands there: it is what generators of documents mean by it."""
    kind = schema.get("type")
    plain = not schema.keys() & {"allOf", "anyOf", "oneOf", "not", "$ref"}
    if isinstance(kind, str) and plain:
        enum = schema.get("enum")
        if isinstance(enum, list) and None not in enum:
            schema["enum"] = [*enum, None]
        schema["type"] = [kind, "null"]
        return schema
    return _unless_null(schema)


def _unless_null(schema: Schema) -> dict[str, Any]:
    """Return what holds for anything but null; what is wrong is told of `schema` itself, where
    `anyOf` would say no more than that nothing fits."""
    return {"if": {"not": {"type": "null"}}, "then": schema}
