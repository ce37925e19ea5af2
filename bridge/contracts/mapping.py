"""What a `mapping.yaml` says: which table becomes which event, column by column."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from bridge.contracts.conversions import CodeMeaning
from bridge.contracts.field_types import KEYS as TYPE_KEYS
from bridge.contracts.field_types import FieldType, parse_type, type_problems
from bridge.contracts.means import Means
from bridge.contracts.names import is_field, is_source
from bridge.contracts.protection import Protection, parse_protection, protection_problems
from bridge.contracts.search import parse_search, search_problems
from bridge.contracts.subjects import SubjectRule, parse_subjects, sealed_fields, subject_problems
from bridge.model.search_role import Role

_REQUIRED: Final = ("subject", "version", "source", "table", "key", "fields")
_KEYS: Final = (
    *_REQUIRED, "drop", "subjects", "search", "refill", "key_change", "on_decode_error",
)  # fmt: skip
_FIELD_KEYS: Final = ("column", "codes", "protect", *TYPE_KEYS)
_MEANING_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "string": str,
    "decimal": str,
    "boolean": bool,
    "integer": int,
    "float": (int, float),
}
"""What the codes of a field may mean, by field type; other types have no code tables."""
_NO_KEY_TYPES: Final = frozenset(
    ("json", "bytes", "float", "array", "range", "multirange", "object", "hstore")
)


class KeyChange(Enum):
    """What an update that changes an entity's key becomes; set by the mapping's author."""

    UPDATE = "update"  # One event, whose `before` has the old key.
    DELETE_INSERT = "delete_insert"  # Two: the old key's end, then the new key's beginning.


class OnDecodeError(Enum):
    """What becomes of an event with a column that cannot be read; set by the mapping's author."""

    KEEP = "keep"  # Published without the field, its raw text under `decode_error`.
    PARK = "park"  # Kept aside, as an event that breaks its contract.


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldRule:
    """How one field of an event comes from one column."""

    name: str
    column: str
    shape: FieldType
    codes: Mapping[str, CodeMeaning] | None
    """Column text → value of the field; a text outside it breaks the contract."""
    protect: Protection | None = None
    """How the value is made unreadable before it is logged."""

    @property
    def type(self) -> str:
        """One of `field_types.TYPES`."""
        return self.shape.name


@dataclass(frozen=True, slots=True, kw_only=True)
class TableMapping:
    """A whole mapping; every column of the table is either mapped or dropped."""

    subject: str
    version: str
    source: str
    table: str
    """`schema.table`."""
    key: tuple[str, ...]
    """Names of the fields that name the entity; empty for a table without a key."""
    fields: tuple[FieldRule, ...]
    drop: frozenset[str]
    """Columns that never leave the legacy database."""
    refill: bool = False
    """Whether a long value that was not sent again is taken from our own log."""
    key_change: KeyChange = KeyChange.UPDATE
    on_decode_error: OnDecodeError = OnDecodeError.KEEP
    subjects: tuple[SubjectRule, ...] = ()
    """Whose data the events hold, and which fields of them are sealed."""
    search: Mapping[str, Role] = field(default_factory=dict)
    """Fields by which the event log is searched."""
    means: Means = field(default=Means(), repr=False, compare=False)
    """What a mapping cannot say itself: keys of the protection, last known values."""

    @property
    def refilled(self) -> frozenset[str]:
        """Fields whose values are remembered for a refill; never those of a person."""
        if not self.refill:
            return frozenset()
        long = frozenset(rule.name for rule in self.fields if rule.shape.may_be_long)
        return long - sealed_fields(self.subjects)


def unknown_key(key: object, known: tuple[str, ...]) -> str:
    """Say that `key` is not known and which known one is nearest."""
    near = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key {str(key)!r}; {hint}"


def parse_mapping(tree: Any) -> tuple[TableMapping | None, list[str]]:
    """Return the mapping that `tree` (parsed YAML) says, or None and all its problems."""
    if not isinstance(tree, dict):
        return None, ["expected a mapping of keys"]
    problems = [unknown_key(key, _KEYS) for key in tree if key not in _KEYS]
    problems += [f"key {key!r} is missing" for key in _REQUIRED if key not in tree]
    if problems:
        return None, problems
    problems += _text_problems(tree)
    fields, field_problems = _parse_fields(tree["fields"])
    problems += field_problems
    problems += _key_problems(tree["key"], fields)
    problems += _drop_problems(tree.get("drop", []), fields)
    problems += _policy_problems(tree)
    if "subjects" in tree:
        types = {field.name: field.type for field in fields}
        problems += subject_problems(
            tree["subjects"], types, tree["key"] if isinstance(tree["key"], list) else ()
        )
        problems += _masked_id_problems(tree["subjects"], fields)
    if "search" in tree and not problems:
        sealed = sealed_fields(parse_subjects(tree.get("subjects")))
        problems += search_problems(tree["search"], fields, sealed)
    if problems:
        return None, problems
    mapping = TableMapping(
        subject=tree["subject"],
        version=tree["version"],
        source=tree["source"],
        table=tree["table"],
        key=tuple(tree["key"]),
        fields=tuple(fields),
        drop=frozenset(tree.get("drop", [])),
        refill=tree.get("refill", False),
        key_change=KeyChange(tree.get("key_change", "update")),
        on_decode_error=OnDecodeError(tree.get("on_decode_error", "keep")),
        subjects=parse_subjects(tree.get("subjects")),
        search=parse_search(tree.get("search")),
    )
    return mapping, []


def _policy_problems(tree: dict[str, Any]) -> Iterator[str]:
    if not isinstance(tree.get("refill", False), bool):
        yield "'refill' must be true or false"
    elif tree.get("refill", False) and not tree["key"]:
        yield "'refill' needs a key: last values are remembered by it"
    for key, policy in (("key_change", KeyChange), ("on_decode_error", OnDecodeError)):
        known = [member.value for member in policy]
        if key in tree and tree[key] not in known:
            yield f"{key!r} must be one of {', '.join(known)}"


def _masked_id_problems(tree: Any, fields: list[FieldRule]) -> Iterator[str]:
    masked = {rule.name for rule in fields if rule.protect and rule.protect.kind == "mask"}
    for rule in tree if isinstance(tree, list) else ():
        if isinstance(rule, dict) and rule.get("id") in masked:
            yield f"subject by {rule['id']!r}: the field is masked, so that all persons are one"


def _text_problems(tree: dict[str, Any]) -> Iterator[str]:
    for key in ("subject", "version", "source", "table"):
        if not isinstance(tree[key], str):
            yield f"{key!r} must be a text, found {type(tree[key]).__name__}; put it in quotes"
    source, table = tree["source"], tree["table"]
    if isinstance(source, str) and not is_source(source):
        yield f"source {source!r} must have the form [a-z][a-z0-9_-]*"
    if isinstance(table, str) and not all(table.partition(".")):
        yield f"table {table!r} must have the form 'schema.table'"


def _parse_fields(tree: Any) -> tuple[list[FieldRule], list[str]]:
    if not isinstance(tree, dict) or not tree:
        return [], ["'fields' must name at least one field"]
    fields: list[FieldRule] = []
    problems: list[str] = []
    for name, rule in tree.items():
        found = list(_field_problems(name, rule))
        problems += [f"field {str(name)!r}: {problem}" for problem in found]
        if not found:
            fields.append(
                FieldRule(
                    name=name,
                    column=rule["column"],
                    shape=parse_type(rule),
                    codes=rule.get("codes"),
                    protect=parse_protection(rule.get("protect")),
                )
            )
    return fields, problems


def _field_problems(name: Any, rule: Any) -> Iterator[str]:
    if not isinstance(name, str) or not is_field(name):
        yield "a field's name has the form [A-Za-z][A-Za-z0-9_]*"
    if not isinstance(rule, dict):
        yield "expected {column: …, type: …}"
        return
    for key in rule:
        if key not in _FIELD_KEYS:
            yield unknown_key(key, _FIELD_KEYS)
    for key in ("column", "type"):
        if not isinstance(rule.get(key), str):
            yield f"{key!r} must be there and be a text"
            return
    yield from type_problems(rule)
    if "codes" in rule:
        yield from _code_problems(rule["type"], rule["codes"])
        if "as" in rule or "protect" in rule:
            yield "'codes' cannot stand beside 'as' or 'protect'"
    if "protect" in rule:
        yield from protection_problems(rule["type"], rule["protect"])


def _code_problems(field_type: str, codes: Any) -> Iterator[str]:
    if not isinstance(codes, dict) or not codes:
        yield "'codes' must hold at least one code"
        return
    meaning_type = _MEANING_TYPES.get(field_type)
    if meaning_type is None:
        yield f"a field of type {field_type!r} has no codes"
        return
    for code, meaning in codes.items():
        if not isinstance(code, str):
            yield f"code {code!r} must be a text, as the column holds it; put it in quotes"
        boolean = isinstance(meaning, bool)
        if meaning is not None and (
            not isinstance(meaning, meaning_type) or boolean is not (field_type == "boolean")
        ):
            yield f"the meaning of code {code!r} is not of type {field_type!r}"


def _key_problems(key: Any, fields: list[FieldRule]) -> Iterator[str]:
    if not isinstance(key, list):
        yield "'key' must be a list of field names; [] for a table without a key"
        return
    types = {field.name: field.type for field in fields}
    shapes = {field.name: field.shape for field in fields}
    for name in key:
        if not isinstance(name, str) or name not in types:
            yield f"key field {name!r} is not among the fields"
        elif types[name] in _NO_KEY_TYPES:
            yield f"key field {name!r} is of type {types[name]!r}, which cannot name an entity"
        elif shapes[name].is_exact:
            yield f"key field {name!r} is a number with a fraction; leave out its 'as'"
    if len(set(map(str, key))) != len(key):
        yield "'key' names a field twice"


def _drop_problems(drop: Any, fields: list[FieldRule]) -> Iterator[str]:
    if not isinstance(drop, list) or not all(isinstance(column, str) for column in drop):
        yield "'drop' must be a list of column names"
        return
    mapped = {field.column for field in fields}
    for column in sorted(mapped.intersection(drop)):
        yield f"column {column!r} is both mapped and dropped"
