"""Every type that a column of a table can have on one server, and how a mapping names it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from bridge.contracts.pgtext.arrays import format_array
from bridge.contracts.pgtext.composites import format_composite
from bridge.contracts.pgtext.ranges import ParsedRange, format_multirange, format_range
from tests.capture.types.literals import COPIED, LITERALS

_TYPES = """
select t.oid::int, n.nspname, t.typname, t.typtype::text, t.typbasetype::int,
       coalesce(e.oid, 0)::int as element, t.typdelim::text,
       coalesce(r.rngsubtype, 0)::int as subtype, coalesce(m.rngtypid, 0)::int as range_type,
       t.typrelid::int
  from pg_type t
  join pg_namespace n on n.oid = t.typnamespace
  left join pg_type e on e.typarray = t.oid
  left join pg_range r on r.rngtypid = t.oid
  left join pg_range m on m.rngmultitypid = t.oid
 where t.typtype in ('b', 'd', 'e', 'r', 'm', 'c') and t.typisdefined
   and n.nspname !~ '^pg_(toast|temp)' and t.typname !~ '^_?every_type'
"""

_ATTRIBUTES = """
select attrelid::int, attname, atttypid::int from pg_attribute
 where attnum > 0 and not attisdropped order by attrelid, attnum
"""

_PLAIN: dict[str, Any] = {
    "bool": "boolean", "int2": "integer", "int4": "integer", "oid": "integer", "xid": "integer",
    "cid": "integer", "int8": {"type": "integer", "as": "string"},
    "xid8": {"type": "integer", "as": "string"}, "float4": "float", "float8": "float",
    "numeric": "decimal", "money": {"type": "decimal", "of": "money"}, "text": "string",
    "varchar": "string", "bpchar": "string", "name": "string", "char": "string",
    "citext": "string", "xml": "string", "bytea": "bytes", "date": "date", "time": "time",
    "timetz": "time", "timestamp": "timestamp", "timestamptz": "timestamptz",
    "interval": "interval", "uuid": "uuid", "json": "json", "jsonb": "json", "hstore": "hstore",
    "ltree": "string", "bit": "string", "varbit": "string",
}  # fmt: skip


@dataclass
class ServerType:
    """One type."""

    oid: int
    schema: str
    name: str
    kind: str
    base: int
    element: int
    delimiter: str
    subtype: int
    range_type: int
    relation: int
    attributes: list[tuple[str, int]] = field(default_factory=list)

    @property
    def sql(self) -> str:
        """Return its name for a statement."""
        name = self.name.replace('"', '""')
        return f'"{self.schema}"."{name}"'


class ServerTypes:
    """All types of one server."""

    def __init__(self, connection: psycopg.Connection) -> None:
        rows = connection.execute(_TYPES).fetchall()
        self._all = {row[0]: ServerType(*row) for row in rows}
        relations = {one.relation: one for one in self._all.values() if one.relation}
        for relation, name, type_oid in connection.execute(_ATTRIBUTES).fetchall():
            if relation in relations:
                relations[relation].attributes.append((name, type_oid))

    def __iter__(self) -> Iterator[ServerType]:
        return iter(self._all.values())

    def named(self, name: str) -> ServerType:
        """Return the type called `name`; the test's own are in `public`."""
        (found,) = [one for one in self if one.name == name]
        return found

    def is_for_columns(self, oid: int) -> bool:
        """Whether a column may have the type: nothing in it is a pseudo-type such as anyarray."""
        one = self._all.get(oid)
        if one is None:
            return False
        within = [oid for oid in (one.base, one.element, one.subtype) if oid]
        within += [oid for _, oid in one.attributes]
        return all(map(self.is_for_columns, within))

    def tree(self, oid: int) -> Any:
        """Return what a mapping says for a column of this type."""
        one = self._all.get(oid)
        if one is None:
            return {"type": "text", "of": "?"}  # A pseudo-type inside a composite.
        if one.kind == "d":
            return self.tree(one.base)
        if one.kind == "e":
            return "string"
        if one.element:
            items = self.tree(one.element)
            if items == "json" or (isinstance(items, dict) and items["type"] == "array"):
                items = "string"
            tree = {"type": "array", "items": items}
            return tree if one.delimiter == "," else {**tree, "delimiter": one.delimiter}
        if one.subtype:
            return {"type": "range", "items": self.tree(one.subtype)}
        if one.range_type:
            return {"type": "multirange", "items": self.tree(self._all[one.range_type].subtype)}
        if one.relation and one.attributes:
            fields = {f"a{n}": self.tree(oid) for n, (_, oid) in enumerate(one.attributes)}
            # JSON's own null could not be told from a NULL.
            fields = {name: "string" if tree == "json" else tree for name, tree in fields.items()}
            return {"type": "object", "fields": fields}
        return _PLAIN.get(one.name, {"type": "text", "of": one.name})

    def literals(self, oid: int, depth: int = 0) -> list[str]:
        """Return candidates for values of a type; the server may refuse some."""
        one = self._all.get(oid)
        if one is None or depth > 4:
            return []
        if one.kind == "d":
            return ["YES", "NO"] if one.name == "yes_or_no" else self.literals(one.base, depth)
        if one.kind == "e":
            return [] if one.schema != "public" else ["sad", "ok", 'so "so", {x}', "NULL"]
        if one.element:
            return self._arrays(self.literals(one.element, depth + 1), one.delimiter)
        if one.subtype:
            return list(_ranges(self.literals(one.subtype, depth + 1)))
        if one.range_type:
            return list(_multiranges(self.literals(self._all[one.range_type].subtype, depth + 1)))
        if one.attributes:
            return self._rows(one, depth)
        return [*LITERALS.get(one.name, ())]

    def copied(self, one: ServerType) -> str | None:
        """Return the query for a value that no text gives."""
        if one.name in COPIED:
            return COPIED[one.name]
        if one.name.startswith("_") and one.name[1:] in COPIED:
            return f"select array[({COPIED[one.name[1:]]})]"
        return None

    def _arrays(self, texts: list[str], delimiter: str) -> list[str]:
        if not texts:
            return ["{}"]
        some = texts[:40]
        return [
            "{}",
            format_array([*some, None], None, delimiter),
            format_array([None, some[0]], (-3,), delimiter),
            format_array([[some[0], None], [some[-1], some[len(some) // 2]]], None, delimiter),
            format_array([[[some[-1]]], [[None]]], (0, 5, 1), delimiter),
            *(format_array([text, text], None, delimiter) for text in some[:12]),
        ]

    def _rows(self, one: ServerType, depth: int) -> list[str]:
        columns: list[list[str | None]] = [
            [*self.literals(oid, depth + 1)] or [None] for _, oid in one.attributes
        ]
        count = 1 if one.schema != "public" else max(len(texts) for texts in columns)
        rows = [[texts[n % len(texts)] for texts in columns] for n in range(min(count, 30))]
        nothing: list[str | None] = [None] * len(columns)
        return [format_composite(row) for row in [*rows, nothing]]


def _ranges(texts: list[str]) -> Iterator[str]:
    yield format_range(None)
    yield "(,)"
    for n, text in enumerate(texts):
        yield format_range(ParsedRange(text, None, True, False))
        yield format_range(ParsedRange(None, text, False, True))
        for other in (texts[n - 1], texts[(n + 1) % len(texts)]):
            yield format_range(ParsedRange(text, other, n % 2 == 0, n % 3 == 0))


def _multiranges(texts: list[str]) -> Iterator[str]:
    yield "{}"
    for n, text in enumerate(texts):
        yield format_multirange([ParsedRange(text, None, n % 2 == 0, False)])
        yield format_multirange(
            [
                ParsedRange(None, texts[n - 1], False, False),
                ParsedRange(text, texts[(n + 1) % len(texts)], True, False),
            ]
        )


OWN_TYPES = """
create type mood as enum ('sad', 'ok', 'so "so", {x}', 'NULL');
create domain positive as numeric(20, 4) check (value >= 0);
create domain codes as text[];
create domain "Mixed Case" as varchar(400);
create type address as (street text, "No" integer, tags text[], since date);
create type person as (name text, home address, moods mood[], born timestamptz, doc json);
create type textrange as range (subtype = text, multirange_type_name = textranges);
create type moneyrange as range (subtype = positive, multirange_type_name = moneyranges);
create domain short_range as int4range;
create table every_type_statistics (a int, b int default 7);
insert into every_type_statistics select n % 10, n % 5 from generate_series(1, 1000) n;
create statistics every_type_statistics (ndistinct, dependencies, mcv)
    on a, b from every_type_statistics;
analyze every_type_statistics;
"""
