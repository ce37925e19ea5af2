"""The types that a mapping gives to fields: plain ones, and structures made of others."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from bridge.contracts import conversions
from bridge.contracts.names import is_field

STRUCTURES: Final = ("text", "array", "range", "multirange", "object", "hstore")
TYPES: Final = (*conversions.TYPES, *STRUCTURES)
"""Everything that `type` may say."""

KEYS: Final = ("type", "as", "items", "fields", "of", "delimiter")

FORMS: Final[dict[str, tuple[str, ...]]] = {
    "integer": ("number", "string"),
    "decimal": ("string", "number"),
    "interval": ("string", "parts"),
}
"""What `as` may say, by type; the first is meant when it says nothing."""

_CONVERSIONS: Final = {
    ("integer", "string"): "integer_text",
    ("decimal", "number"): "decimal_number",
    ("interval", "parts"): "interval_parts",
}

# As deep as a composite in an array in a composite in a range's place makes sense; it bounds the
# recursion over a file.
_DEPTH_MAX: Final = 8

_WITH_ITEMS: Final = frozenset(("array", "range", "multirange"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldType:
    """A type as a mapping spells it."""

    name: str
    """One of `TYPES`."""
    form: str | None = None
    """What `as` says, when it is not the default."""
    items: "FieldType | None" = None
    """Type of an array's elements, or of a range's bounds."""
    fields: tuple[tuple[str, "FieldType"], ...] = ()
    """A composite's attributes in the order in which the database declares them."""
    of: str | None = None
    """The database's own name of the type, where the value must say it or is read by it."""
    delimiter: str | None = None
    """What stands between an array's elements; a comma for every built-in type but `box`."""

    @property
    def conversion(self) -> str:
        """Name of the conversion that reads a plain type."""
        if self.name == "decimal" and self.of == "money":
            return "money"
        return _CONVERSIONS.get((self.name, self.form or ""), self.name)

    @property
    def is_plain(self) -> bool:
        """Whether one expression reads it; a structure takes a reader of its own."""
        return self.name not in STRUCTURES

    @property
    def is_exact(self) -> bool:
        """Whether something in it is passed through as the very digits of the source."""
        if self.items is not None and self.items.is_exact:
            return True
        if any(below.is_exact for _, below in self.fields):
            return True
        return self.conversion in conversions.PASSED_THROUGH

    @property
    def may_be_long(self) -> bool:
        """Whether PostgreSQL may store a value of it apart from its row (TOAST).

        A dozen bytes more than a pointer are never worth it, whatever the column's type is.
        """
        return self.conversion not in _ALWAYS_SHORT


# fmt: off
_ALWAYS_SHORT: Final = frozenset((
    "integer", "float", "boolean", "date", "time", "timestamp", "timestamptz", "interval",
    "interval_parts", "uuid", "money",
))
# fmt: on


def unknown_word(word: object, known: tuple[str, ...], what: str) -> str:
    """Say that `word` is not known and which known one is nearest."""
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"unknown {what} {str(word)!r}; {hint}"


def type_problems(tree: Any, depth: int = 0) -> Iterator[str]:
    """Yield what is wrong with a type: its name, or a mapping of `KEYS`."""
    if isinstance(tree, str):
        tree = {"type": tree}
    if not isinstance(tree, dict) or not isinstance(tree.get("type"), str):
        yield "a type is a name or {type: …}"
        return
    if depth > _DEPTH_MAX:
        yield f"types are nested deeper than {_DEPTH_MAX}"
        return
    name = tree["type"]
    if name not in TYPES:
        yield unknown_word(name, TYPES, "type")
        return
    if depth:
        for key in tree:
            if key not in KEYS:
                yield unknown_word(key, KEYS, "key")
        if name == "text" and "of" not in tree:
            yield "'text' inside another type needs 'of', the name of the type in the database"
    yield from _form_problems(name, tree)
    yield from _structure_problems(name, tree, depth)


def _form_problems(name: str, tree: dict[str, Any]) -> Iterator[str]:
    if "as" in tree:
        forms = FORMS.get(name)
        if forms is None:
            yield f"a field of type {name!r} has no 'as'"
        elif tree["as"] not in forms:
            yield f"'as' of type {name!r} must be one of {', '.join(forms)}"
    for key in ("of", "delimiter"):
        if key in tree and not (isinstance(tree[key], str) and tree[key]):
            yield f"{key!r} must be a text"
    if "of" in tree and not (name == "text" or (name == "decimal" and tree["of"] == "money")):
        yield "'of' belongs to 'text', or says 'money' beside 'decimal'"
    if "delimiter" in tree and (name != "array" or len(str(tree["delimiter"])) != 1):
        yield "'delimiter' is one character and belongs to 'array'"


def _structure_problems(name: str, tree: dict[str, Any], depth: int) -> Iterator[str]:
    if ("items" in tree) != (name in _WITH_ITEMS):
        yield f"'items' {'is missing' if name in _WITH_ITEMS else f'is not for type {name!r}'}"
    elif "items" in tree:
        for problem in type_problems(tree["items"], depth + 1):
            yield f"items: {problem}"
        items = tree["items"]
        item = items.get("type") if isinstance(items, dict) else items
        if name == "array" and item in ("json", "array"):
            yield (
                f"items: lists of type {item!r} cannot be told from further dimensions; use "
                "'string' (an array type has as many dimensions as a value needs)"
            )
    if ("fields" in tree) != (name == "object"):
        yield f"'fields' {'is missing' if name == 'object' else f'is not for type {name!r}'}"
    elif "fields" in tree:
        fields = tree["fields"]
        if not isinstance(fields, dict) or not fields:
            yield "'fields' must name the attributes in the order of the database"
            return
        for field, below in fields.items():
            if not isinstance(field, str) or not is_field(field):
                yield f"attribute {str(field)!r} must have the form [A-Za-z][A-Za-z0-9_]*"
            for problem in type_problems(below, depth + 1):
                yield f"attribute {str(field)!r}: {problem}"


def parse_type(tree: Any) -> FieldType:
    """Return the type that `tree` says; it has no `type_problems`."""
    if isinstance(tree, str):
        return FieldType(name=tree)
    name, form = tree["type"], tree.get("as")
    return FieldType(
        name=name,
        form=None if form is None or form == FORMS[name][0] else form,
        items=parse_type(tree["items"]) if "items" in tree else None,
        fields=tuple((field, parse_type(below)) for field, below in tree.get("fields", {}).items()),
        of=tree.get("of"),
        delimiter=tree.get("delimiter"),
    )
