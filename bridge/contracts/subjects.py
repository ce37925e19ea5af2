"""Whose data an event holds: the `subjects` of a mapping. Pure.

    subjects:
      - {kind: customer, id: customer_id, fields: [name, email], class: customer-data}

The fields are taken out of the event before it is logged and sealed under a key of that person, so
that they can be made unreadable later; `id` is a field that stays and names the person.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from bridge.model.sealing import Portion

_Fields = dict[str, Any]

_KEYS: Final = ("kind", "id", "fields", "class")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")
_NO_ID_TYPES: Final = frozenset(
    ("json", "bytes", "float", "array", "range", "multirange", "object", "hstore", "text")
)

UNNAMED: Final = "?"
"""Begins the name of a person whom a row does not name: the rest is the row's own key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectRule:
    """Fields of one person in each event of a contract."""

    kind: str
    id: str
    """The field whose value names the person; it is published as it is."""
    fields: tuple[str, ...]
    record_class: str


def subject_problems(tree: Any, types: Mapping[str, str], key: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with `subjects`; `types` are the field types by field name."""
    if not isinstance(tree, list) or not all(isinstance(rule, dict) for rule in tree):
        yield "'subjects' must be a list of {kind: …, id: …, fields: […], class: …}"
        return
    sealed: set[str] = set()
    for place, rule in enumerate(tree, 1):
        where = f"subject {place}"
        unknown = [str(name) for name in rule if name not in _KEYS]
        missing = [name for name in _KEYS if name not in rule]
        if unknown or missing:
            yield from (f"{where}: unknown key {name!r}" for name in unknown)
            yield from (f"{where}: key {name!r} is missing" for name in missing)
            continue
        for name in ("kind", "class"):
            if not isinstance(rule[name], str) or not _NAME.fullmatch(rule[name]):
                yield f"{where}: {name!r} must have the form [a-z][a-z0-9-]*, at most 31 characters"
        yield from (f"{where}: {text}" for text in _id_problems(rule["id"], types))
        fields = rule["fields"]
        if not isinstance(fields, list) or not fields:
            yield f"{where}: 'fields' must name at least one field"
            continue
        for name in fields:
            if name not in types:
                yield f"{where}: field {str(name)!r} is not among the fields"
            elif name in key:
                yield f"{where}: key field {name!r} cannot be sealed: events are told apart by it"
            elif name in sealed:
                yield f"{where}: field {name!r} belongs to a person already"
            sealed.add(name)
    for place, rule in enumerate(tree, 1):
        if rule.get("id") in sealed:
            yield (
                f"subject {place}: 'id' names field {rule['id']!r}, which is sealed: nobody could "
                "find the person's key"
            )


def _id_problems(name: Any, types: Mapping[str, str]) -> Iterator[str]:
    if not isinstance(name, str) or name not in types:
        yield f"'id' names field {str(name)!r}, which is not among the fields"
    elif types[name] in _NO_ID_TYPES:
        yield f"'id' names field {name!r} of type {types[name]!r}, which cannot name a person"


def parse_subjects(tree: Any) -> tuple[SubjectRule, ...]:
    """Return what `subjects` says; it has no `subject_problems`."""
    return tuple(
        SubjectRule(
            kind=rule["kind"],
            id=rule["id"],
            fields=tuple(rule["fields"]),
            record_class=rule["class"],
        )
        for rule in tree or ()
    )


def sealed_fields(rules: Sequence[SubjectRule]) -> frozenset[str]:
    """Return the names of all fields that are sealed."""
    return frozenset(name for rule in rules for name in rule.fields)


def by_column(rules: Sequence[SubjectRule], columns: Mapping[str, str]) -> tuple[SubjectRule, ...]:
    """Return `rules` in terms of a table's columns, for rows that are kept as they came.

    `columns` are columns by field; a field whose column the table lacks is left out.
    """
    return tuple(
        replace(
            rule,
            id=columns.get(rule.id, ""),
            fields=tuple(columns[name] for name in rule.fields if name in columns),
        )
        for rule in rules
    )


def _token(name: str) -> str:
    """Return `name` as a reference token of a JSON Pointer (RFC 6901); columns have any name."""
    return name.replace("~", "~0").replace("/", "~1")


class Taking:
    """Takes persons' fields out of the data of one contract's events."""

    def __init__(self, rules: Sequence[SubjectRule]) -> None:
        self._rules = rules
        self._owners = {name: rule for rule in rules for name in rule.fields}

    def take(self, data: _Fields, event_id: str) -> tuple[_Fields, list[Portion]]:
        """Return `data` without persons' fields, and these; `data` itself is not changed."""
        rest = dict(data)
        found: dict[tuple[str, str, str], dict[str, Any]] = {}
        for side in ("after", "before"):
            row = data.get(side)
            if row is None:
                continue
            left = dict(row)
            for rule in self._rules:
                values = {
                    f"/{side}/{_token(name)}": left.pop(name)
                    for name in rule.fields
                    if name in left
                }
                if values:
                    person = self._person(rule, side, data, event_id)
                    found.setdefault((rule.kind, person, rule.record_class), {}).update(values)
            rest[side] = left
        self._take_undecoded(data, rest, found, event_id)
        return rest, [Portion(*whose, values) for whose, values in found.items()]

    def _take_undecoded(
        self,
        data: _Fields,
        rest: _Fields,
        found: dict[tuple[str, str, str], dict[str, Any]],
        event_id: str,
    ) -> None:
        """Take the raw texts of fields that could not be read, if one of them is a person's."""
        for entry in data.get("decode_error", ()):
            _, side, name = entry["path"].split("/")[:3]
            rule = self._owners.get(name)
            if rule is not None:
                whose = (rule.kind, self._person(rule, side, data, event_id), rule.record_class)
                found.setdefault(whose, {})["/decode_error"] = rest.pop("decode_error")
                return

    def _person(self, rule: SubjectRule, side: str, data: _Fields, event_id: str) -> str:
        """Return what names the person in one side of an event."""
        other = "before" if side == "after" else "after"
        for row in (data.get(side), data.get(other), data.get("key")):
            if row is not None and rule.id in row:
                value = row[rule.id]
                if value is not None:
                    return value if isinstance(value, str) else orjson.dumps(value).decode()
                break
        key = data.get("key")
        return UNNAMED + (event_id if key is None else orjson.dumps(key).decode())
