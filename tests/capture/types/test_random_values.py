"""Random values of random types: read by the mapping, written back, equal by PostgreSQL's word.

What the server prints in a SELECT is what it sends in the stream (`test_every_type`), so no stream
is needed here and each example costs a round trip.
"""

from collections.abc import Iterator
from typing import Any

import orjson
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.contracts.field_types import parse_type, type_problems
from bridge.contracts.pgtext.arrays import format_array
from bridge.contracts.pgtext.composites import format_composite
from bridge.contracts.pgtext.ranges import ParsedRange, format_multirange, format_range
from bridge.contracts.structures import Bounds, reader
from tests.capture.types.back import to_text
from tests.conftest import Database

PINNED = (
    "-c datestyle=ISO -c intervalstyle=iso_8601 -c timezone=UTC -c extra_float_digits=3"
    " -c bytea_output=hex -c lc_monetary=C"
)

TEXTS = st.text(
    alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
) | st.text(alphabet='\\"{}()[],;= aNUL\n', max_size=8)

# Type, what a mapping says, and texts that the type's input function reads.
PLAIN: list[tuple[str, Any, st.SearchStrategy[str]]] = [
    ("text", "string", TEXTS),
    ("int8", {"type": "integer", "as": "string"}, st.integers(-(2**63), 2**63 - 1).map(str)),
    ("int4", "integer", st.integers(-(2**31), 2**31 - 1).map(str)),
    ("numeric", "decimal", st.decimals(allow_nan=False).map(str)),
    (
        "numeric",
        {"type": "decimal", "as": "number"},
        st.decimals(allow_nan=False, allow_infinity=False, places=6).map(lambda d: f"{d:f}"),
    ),
    ("float8", "float", st.floats().map(repr)),
    ("float4", "float", st.floats(width=32).map(repr)),
    ("bool", "boolean", st.booleans().map(str)),
    ("bytea", "bytes", st.binary(max_size=20).map(lambda b: "\\x" + b.hex())),
    ("date", "date", st.dates().map(str)),
    ("timestamp", "timestamp", st.datetimes().map(str)),
    ("timestamptz", "timestamptz", st.datetimes().map(lambda t: f"{t}+05:45")),
    ("time", "time", st.times().map(str)),
    ("uuid", "uuid", st.uuids().map(str)),
    ("money", {"type": "decimal", "of": "money"}, st.integers(-(2**53), 2**53).map(str)),
    (
        "interval",
        "interval",
        st.builds(
            "{} months {} days {} us".format,
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**31), 2**31 - 1),
            st.integers(-(2**62), 2**62),
        ),
    ),
    ("xid8", {"type": "integer", "as": "string"}, st.integers(0, 2**64 - 1).map(str)),
    ("bit varying", "string", st.text(alphabet="01", max_size=80)),
    ("inet", "string", st.ip_addresses().map(str)),
    ("pg_lsn", {"type": "text", "of": "pg_lsn"}, st.integers(0, 2**32 - 1).map("0/{:X}".format)),
]

RANGES = {
    "int4": ("int4range", "int4multirange"),
    "int8": ("int8range", "int8multirange"),
    "date": ("daterange", "datemultirange"),
    "timestamp": ("tsrange", "tsmultirange"),
    "timestamptz": ("tstzrange", "tstzmultirange"),
}

Sample = tuple[str, Any, str]
"""A type, what a mapping says, and the text of a value."""


@st.composite
def _array(draw: st.DrawFn) -> Sample:
    name, tree, texts = draw(st.sampled_from(PLAIN))
    items = st.lists(texts | st.none(), min_size=1, max_size=4)
    width = draw(st.integers(1, 3))
    rows = st.lists(st.lists(texts | st.none(), min_size=width, max_size=width), min_size=1)
    value: list[Any] = draw(items | rows)
    depth = 2 if isinstance(value[0], list) else 1
    bounds = draw(st.none() | st.tuples(*[st.integers(-99, 99)] * depth))
    return f"{name}[]", {"type": "array", "items": tree}, format_array(value, bounds)


@st.composite
def _range(draw: st.DrawFn) -> Sample:
    plain = [one for one in PLAIN if one[0] in RANGES]
    name, tree, texts = draw(st.sampled_from(plain))
    bounds = st.none() | texts
    ranges = st.builds(ParsedRange, bounds, bounds, st.booleans(), st.booleans())
    one, many = RANGES[name]
    if draw(st.booleans()):
        return one, {"type": "range", "items": tree}, format_range(draw(st.none() | ranges))
    several = draw(st.lists(ranges, max_size=3))
    return many, {"type": "multirange", "items": tree}, format_multirange(several)


@st.composite
def _composite(draw: st.DrawFn) -> Sample:
    names = ("plain", "listed", "spanned", "inner")
    inner = format_composite([draw(TEXTS | st.none()), draw(st.integers(0, 9).map(str))])
    numbers = draw(st.lists(st.integers(-9, 9).map(str) | st.none(), max_size=3))
    low = draw(st.integers(-9, 9))
    cells = [
        draw(TEXTS | st.none()),
        draw(st.none() | st.just(format_array(numbers))),
        draw(st.none() | st.just(f"[{low},{low + 3})")),
        draw(st.none() | st.just(inner)),
    ]
    trees = (
        "string",
        {"type": "array", "items": "integer"},
        {"type": "range", "items": "integer"},
        {"type": "object", "fields": {"a": "string", "b": "integer"}},
    )
    fields = dict(zip(names, trees, strict=True))
    return "random_row", {"type": "object", "fields": fields}, format_composite(cells)


_SCALAR = st.sampled_from(PLAIN).flatmap(
    lambda one: one[2].map(lambda text: (one[0], one[1], text))
)
SAMPLES = _SCALAR | _array() | _range() | _composite()


@pytest.fixture
def sql(any_database: Database) -> Iterator[psycopg.Connection]:
    with psycopg.connect(any_database.dsn, autocommit=True, options=PINNED) as connection:
        connection.execute("create type inner_row as (a text, b int)")
        connection.execute(
            "create type random_row as (plain text, listed int[], spanned int4range,"
            " inside inner_row)"
        )
        yield connection


def check(sql: psycopg.Connection, sample: Sample) -> None:
    """Read what the server prints for a value, write it back, and let the server compare."""
    name, tree, text = sample
    try:
        result = sql.execute(f"select %s::{name}".encode(), (text,), binary=False).pgresult
    except psycopg.errors.DataError:
        return  # The server refuses it: a range upside down, an interval out of its limits.
    assert result is not None
    printed = (result.get_value(0, 0) or b"").decode()
    assert not [*type_problems(tree, 1)]
    shape = parse_type(tree)
    bounds: Bounds = {}
    value = reader(shape, result.ftype(0), exact=True)(printed, "", bounds)
    raw = orjson.dumps(value).decode()
    back = to_text(tree, raw, "", bounds)
    row = sql.execute(
        f"select (%s::{name})::text = (%s::{name})::text".encode(), (back, printed)
    ).fetchone()
    assert row == (True,), (name, printed, raw, back)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sample=SAMPLES)
def test_a_random_value_is_exact(sql: psycopg.Connection, sample: Sample) -> None:
    check(sql, sample)


@pytest.mark.soak
@pytest.mark.timeout(900)
@settings(
    max_examples=20_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sample=SAMPLES)
def test_very_many_random_values_are_exact(sql: psycopg.Connection, sample: Sample) -> None:
    check(sql, sample)
