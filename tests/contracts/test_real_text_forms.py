"""What a real server prints under pinned settings is what the conversions read."""

from typing import Any

import psycopg
import pytest

from bridge.contracts import conversions as c

# As capture pins them on every connection to a source.
PINNED = "-c datestyle=ISO -c timezone=UTC -c extra_float_digits=3 -c bytea_output=hex"

CASES: list[tuple[str, str, int, Any]] = [
    ("boolean", "true", c.BOOL, True),
    ("integer", "'-9223372036854775808'::int8", c.INT8, -(2**63)),
    ("decimal", "123456789012345678901234567890.10::numeric", c.NUMERIC, None),
    ("decimal", "'NaN'::numeric", c.NUMERIC, "NaN"),
    ("decimal", "1e-10::numeric", c.NUMERIC, "0.0000000001"),
    ("float", "'1e300'::float8", c.FLOAT8, 1e300),
    ("float", "0.1::float4", c.FLOAT4, 0.1),
    ("float", "'-Infinity'::float8", c.FLOAT8, "-Infinity"),
    ("date", "'0044-03-15 BC'::date", c.DATE, "-000043-03-15"),
    ("date", "'infinity'::date", c.DATE, "infinity"),
    ("date", "'5874897-12-31'::date", c.DATE, "+5874897-12-31"),
    ("time", "'24:00'::time", c.TIME, "24:00:00"),
    ("time", "'01:02:03.5+05:30'::timetz", 1266, "01:02:03.5+05:30"),
    ("timestamp", "'2024-01-02 03:04:05.100'::timestamp", c.TIMESTAMP, "2024-01-02T03:04:05.1"),
    ("timestamp", "'0001-01-01 00:00 BC'::timestamp", c.TIMESTAMP, "0000-01-01T00:00:00"),
    ("timestamp", "'294276-12-31'::timestamp", c.TIMESTAMP, "+294276-12-31T00:00:00"),
    ("timestamptz", "'2024-07-01 00:00+09'::timestamptz", c.TIMESTAMPTZ, "2024-06-30T15:00:00Z"),
    ("timestamptz", "'4713-01-01 BC'::timestamptz", c.TIMESTAMPTZ, "-004712-01-01T00:00:00Z"),
    ("timestamptz", "'infinity'::timestamptz", c.TIMESTAMPTZ, "infinity"),
    ("json", '\'{"a": 1.10, "b": [null]}\'::jsonb', 3802, {"a": 1.1, "b": [None]}),
    ("bytes", "'\\xdeadbeef'::bytea", c.BYTEA, "3q2+7w=="),
    ("uuid", "'{A0EEBC999C0B4EF8BB6D6BB9BD380A11}'::uuid", c.UUID, None),
]


@pytest.mark.parametrize(("field_type", "literal", "oid", "value"), CASES)
def test_the_servers_own_text_converts(
    postgres: Any, field_type: str, literal: str, oid: int, value: Any
) -> None:
    with psycopg.connect(postgres.dsn(), options=PINNED) as connection:
        row = connection.execute(
            f"SELECT x, pg_typeof(x)::oid FROM (SELECT {literal} AS x) AS one".encode()
        )
        assert row.pgresult is not None
        raw = row.pgresult.get_value(0, 0)
        assert raw is not None
        assert int(row.pgresult.get_value(0, 1) or 0) == oid
        text = raw.decode()
    expression = c.expression(field_type, oid, "v")
    converted = eval(expression, {**c.NAMESPACE, "v": text})  # noqa: S307 - our own expression
    assert converted == (text if value is None else value)
