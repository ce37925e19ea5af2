"""Say in words what a model found wrong with a file that people edit.

A message names the place as the file has it, and for a key that nobody knows the nearest known one.
What a person wrote is not repeated, unless a validator of ours does so on purpose.
"""

import difflib
from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails


def known_keys(model: type[BaseModel], where: Sequence[str | int]) -> list[str]:
    """Return the keys that the part of `model` at `where` knows, as files name them."""
    section: type[BaseModel] | None = model
    for part in where:
        if section is None:
            return []
        annotation = _annotation_of(section, str(part))
        # An index of a list, or a name in a mapping: the part is the one of its container.
        section = section if annotation is None else section_of(annotation)
    if section is None:
        return []
    return [field.alias or name for name, field in section.model_fields.items()]


def section_of(annotation: Any) -> type[BaseModel] | None:
    """Return the section class inside `X`, `X | None`, `dict[str, X]` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, dict, tuple, list):
        for inner in get_args(annotation):
            found = section_of(inner)
            if found is not None:
                return found
    return None


def hint(name: str, known: Sequence[str]) -> str:
    """Return what to do about the unknown key `name`."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def reason(error: ErrorDetails) -> str:
    """Return why a value is refused, as words that go on after its place."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "value_error":
        return error["msg"].removeprefix("Value error, ")
    for kinds, words in _REASONS:
        if kind in kinds:
            return words.format(**context)
    return f"cannot be used: {error['msg'][:1].lower()}{error['msg'][1:]}"


_REASONS: Final = (
    (("missing",), "is missing"),
    (("string_type",), "is not a text; put it in quotes"),
    (("bool_type",), "is not true or false"),
    (("int_type", "int_parsing", "int_from_float"), "is not a whole number"),
    (("float_type", "float_parsing"), "is not a number"),
    (("tuple_type", "list_type", "set_type", "frozen_set_type"), "is not a list, e.g. [A, B]"),
    (("model_type", "dict_type", "mapping_type", "dataclass_type"), "is not a mapping of keys"),
    (("enum", "literal_error"), "is unknown; known are {expected}"),
    (("string_pattern_mismatch",), "is not of the form {pattern}"),
    (("greater_than_equal",), "is less than {ge}"),
    (("greater_than",), "is not more than {gt}"),
    (("less_than_equal",), "is more than {le}"),
    (("less_than",), "is not less than {lt}"),
    (("too_short", "string_too_short"), "is empty or too short"),
)


def _annotation_of(section: type[BaseModel], key: str) -> Any:
    for name, field in section.model_fields.items():
        if key == (field.alias or name):
            return field.annotation
    return None
