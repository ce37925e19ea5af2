"""The tables of the random workload, and values for every built-in type.

Rows of one session have ids of their own range, so that sessions rarely wait for each other.
"""

import random
from dataclasses import dataclass

# Literals as a person would write them; the server decides what they look like in an event.
VALUES: dict[str, tuple[str, ...]] = {
    "boolean": ("true", "false"),
    "smallint": ("-32768", "0", "32767"),
    "integer": ("-2147483648", "7", "2147483647"),
    "bigint": ("-9223372036854775808", "9007199254740993", "9223372036854775807"),
    "numeric": ("'NaN'", "'Infinity'", "0.10", "1e-200", "123456789012345678901234567890.5"),
    "numeric(12,4)": ("0", "99999999.9999", "-1.5"),
    "real": ("'NaN'", "'-Infinity'", "1.1", "3.4028235e38", "'-0'"),
    "double precision": ("'Infinity'", "0.1", "5e-324", "1.7976931348623157e308"),
    "money": ("12.34", "-0.5"),
    "text": ("''", "'null'", "E'tab\\tline\\nback\\\\'", "'Grüße 😀'", "'\"quoted\"'"),
    "varchar(20)": ("'short'", "''"),
    "char(5)": ("'ab'", "'     '"),
    '"char"': ("'x'", "'\\200'"),
    "name": ("'a_name'",),
    "bytea": ("'\\x'", "'\\x00ff5c'"),
    "date": ("'infinity'", "'-infinity'", "'0044-03-15 BC'", "'12021-01-01'", "'2024-02-29'"),
    "time": ("'24:00'", "'00:00:00.000001'", "'23:59:60'"),
    "timetz": ("'24:00+14'", "'12:00:00.5-07:30'"),
    "timestamp": ("'infinity'", "'0001-01-01 00:00:00 BC'", "'2024-02-29 12:00:00.123456'"),
    "timestamptz": ("'-infinity'", "'2024-03-31 02:30:00 Europe/Berlin'", "'1883-11-18 12:03:57Z'"),
    "interval": ("'1 year -2 days +3:04:05.6'", "'-178000000 years'", "'0'"),
    "uuid": ("'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",),
    "json": ('\'{"a": 1.0, "a": 2}\'', "'null'"),
    "jsonb": ('\'{"b": [1e400, null], "a": "\\u00e9"}\'', "'[]'"),
    "inet": ("'10.0.0.1/8'", "'::ffff:1.2.3.4'"),
    "cidr": ("'10.0.0.0/8'", "'2001:db8::/32'"),
    "macaddr": ("'08:00:2b:01:02:03'",),
    "macaddr8": ("'08:00:2b:01:02:03:04:05'",),
    "bit(3)": ("B'101'",),
    "varbit": ("B''", "B'1001'"),
    "point": ("'(1.5,-2)'",),
    "line": ("'{1,2,3}'",),
    "lseg": ("'[(0,0),(1,1)]'",),
    "box": ("'(1,1),(0,0)'",),
    "path": ("'[(0,0),(1,1),(2,0)]'", "'((0,0),(1,1))'"),
    "polygon": ("'((0,0),(1,1),(2,0))'",),
    "circle": ("'<(1,1),2>'",),
    "tsvector": ("'''a b'':1A cat:2'",),
    "tsquery": ("'fat & !rat'",),
    "int4range": ("'empty'", "'[1,10)'", "'(,5]'"),
    "numrange": ("'[1.10,2.20]'",),
    "tstzrange": ("'[2024-01-01 00:00+02, infinity)'",),
    "daterange": ("'[2024-01-01,2024-02-01]'",),
    "int8multirange": ("'{}'", "'{[1,2),[5,9)}'"),
    "pg_lsn": ("'16/B374D848'",),
    "txid_snapshot": ("'10:20:10,14'",),
    "oid": ("4294967295",),
    "jsonpath": ("'$.a[*] ? (@ > 2)'",),
    "integer[]": ("'{}'", "'{1,NULL,3}'", "'[0:1]={7,8}'", "'{{1,2},{3,4}}'"),
    "text[]": ('\'{NULL,"NULL","a,b","\\"",""}\'',),
    "numeric[]": ("'{NaN,1.50}'",),
    "timestamptz[]": ("'{infinity,\"2024-01-01 00:00+02\"}'",),
    "hstore": ("'a=>1, \"b c\"=>NULL'", "''"),
    "citext": ("'MiXed'",),
    "ltree": ("'Top.Science'",),
    "mood": ("'sad'", "'so so'"),
    "mood[]": ("'{sad,\"so so\"}'",),
    "posint": ("1", "77"),
    "address": ("'(\"Main St, 1\",12345)'", "'(,)'"),
    "address[]": ("'{\"(a,1)\",NULL}'",),
}

TYPES = """
create extension hstore; create extension citext; create extension ltree;
create type mood as enum ('sad', 'so so', 'happy');
create domain posint as integer check (value > 0);
create type address as (street text, zip integer);
"""

WIDE_COLUMNS = {f"c{number}": type_ for number, type_ in enumerate(VALUES)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A captured table."""

    name: str
    """As SQL writes it, quotes and all."""
    sql: str
    columns: dict[str, str]
    """Columns that statements fill, with their types; the first two are what a row is known by."""
    key: tuple[str, ...]
    inserts_only: bool = False
    """It has no replica identity: publishing updates would break the application's own."""
    keyless: bool = False
    """It has no key to read it by: changes before its first reading are part of that reading."""

    @property
    def full_name(self) -> str:
        """As capture names it."""
        return "public." + self.name.strip('"')


_WIDE = ", ".join(f"{name} {type_}" for name, type_ in WIDE_COLUMNS.items())

TABLES = (
    Table(
        name="plain",
        sql="create table plain (id bigint primary key, note text, amount numeric(12,4))",
        columns={"id": "bigint", "note": "text", "amount": "numeric(12,4)"},
        key=("id",),
    ),
    Table(
        name="wide",
        sql=f"create table wide (id bigint primary key, {_WIDE})",
        columns={"id": "bigint", **WIDE_COLUMNS},
        key=("id",),
    ),
    Table(
        name="pair",
        sql="create table pair (id bigint, code text, note text, flag boolean,"
        " primary key (code, id))",
        columns={"id": "bigint", "note": "text", "flag": "boolean"},
        key=("id", "code"),
    ),
    Table(
        name="whole",
        sql="create table whole (id bigint, note text); alter table whole replica identity full",
        columns={"id": "bigint", "note": "text"},
        key=("id",),
        keyless=True,
    ),
    Table(
        name="indexed",
        sql="create table indexed (id bigint not null, note text, mood mood);"
        " create unique index indexed_id on indexed (id);"
        " alter table indexed replica identity using index indexed_id",
        columns={"id": "bigint", "note": "text", "mood": "mood"},
        key=("id",),
    ),
    Table(
        name="toasted",
        sql="create table toasted (id bigint primary key, note text, small integer, big text);"
        " alter table toasted alter big set storage external",
        columns={"id": "bigint", "note": "text", "small": "integer"},
        key=("id",),
    ),
    Table(
        name="parted",
        sql="create table parted (id bigint primary key, note text) partition by hash (id);"
        " create table parted_0 partition of parted for values with (modulus 2, remainder 0);"
        " create table parted_1 partition of parted for values with (modulus 2, remainder 1)",
        columns={"id": "bigint", "note": "text"},
        key=("id",),
    ),
    Table(
        name='"Mixed Case"',
        sql='create table "Mixed Case" (id bigint primary key, note text)',
        columns={"id": "bigint", "note": "text"},
        key=("id",),
    ),
    Table(
        name="bare",
        sql="create table bare (id bigint, note text, at timestamptz)",
        columns={"id": "bigint", "note": "text", "at": "timestamptz"},
        key=(),
        inserts_only=True,
        keyless=True,
    ),
)

NUDGED = "nudged"
"""No program writes here: a statement to it never waits for a lock."""

CREATE = TYPES + ";\n".join(
    [f"create table {NUDGED} (id bigint primary key)", *(table.sql for table in TABLES)]
)
NAMES = (f"public.{NUDGED}", *(table.full_name for table in TABLES))


def literal(chance: random.Random, type_: str) -> str:
    """Return a value of `type_` as SQL, sometimes null."""
    return "null" if chance.random() < 0.1 else chance.choice(VALUES[type_])
