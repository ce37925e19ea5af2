"""Each field type reads PostgreSQL's text forms and nothing else."""

import base64
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts import conversions as c
from bridge.contracts.formats import CHECKS

TEXT = 25


def convert(field_type: str, oid: int, text: str) -> Any:
    expression = c.expression(field_type, oid, "v")
    return eval(expression, {**c.NAMESPACE, "v": text})  # noqa: S307 - the expression under test


@pytest.mark.parametrize(
    ("field_type", "oid", "text", "value"),
    [
        ("string", TEXT, " as it is ", " as it is "),
        ("integer", c.INT8, "-9223372036854775808", -(2**63)),
        ("integer", c.BPCHAR, "00012 ", 12),
        ("decimal", c.NUMERIC, "-0.10", "-0.10"),
        ("decimal", c.NUMERIC, "NaN", "NaN"),
        ("decimal", TEXT, "-Infinity", "-Infinity"),
        ("decimal", c.INT4, "7", "7"),
        ("boolean", c.BOOL, "t", True),
        ("boolean", c.BOOL, "f", False),
        ("float", c.FLOAT8, "1e+300", 1e300),
        ("float", c.FLOAT4, "0.1", 0.1),
        ("float", c.FLOAT8, "NaN", "NaN"),
        ("float", c.FLOAT8, "-Infinity", "-Infinity"),
        ("date", c.DATE, "2024-02-29", "2024-02-29"),
        ("date", c.DATE, "infinity", "infinity"),
        ("date", c.DATE, "-infinity", "-infinity"),
        ("date", c.DATE, "0044-03-15 BC", "-000043-03-15"),
        ("date", c.DATE, "0001-01-01 BC", "0000-01-01"),
        ("date", c.DATE, "5874897-12-31", "+5874897-12-31"),
        ("date", TEXT, "2024-02-29", "2024-02-29"),
        ("timestamp", c.TIMESTAMP, "2024-01-02 03:04:05", "2024-01-02T03:04:05"),
        ("timestamp", c.TIMESTAMP, "2024-01-02 03:04:05.000001", "2024-01-02T03:04:05.000001"),
        ("timestamp", c.TIMESTAMP, "infinity", "infinity"),
        ("timestamp", c.TIMESTAMP, "0044-03-15 12:00:00 BC", "-000043-03-15T12:00:00"),
        ("timestamp", c.TIMESTAMP, "12345-01-01 00:00:00", "+012345-01-01T00:00:00"),
        ("timestamp", TEXT, "2024-01-02T03:04:05", "2024-01-02T03:04:05"),
        ("timestamptz", c.TIMESTAMPTZ, "2024-01-02 03:04:05.5+00", "2024-01-02T03:04:05.5Z"),
        ("timestamptz", c.TIMESTAMPTZ, "-infinity", "-infinity"),
        ("timestamptz", c.TIMESTAMPTZ, "0044-03-15 12:00:00+00 BC", "-000043-03-15T12:00:00Z"),
        ("timestamptz", c.TIMESTAMPTZ, "12345-01-01 00:00:00+00", "+012345-01-01T00:00:00Z"),
        ("timestamptz", TEXT, "2024-01-01 03:00:00+05:30", "2023-12-31T21:30:00Z"),
        ("time", c.TIME, "24:00:00", "24:00:00"),
        ("time", c.TIME, "03:04:05.123456", "03:04:05.123456"),
        ("time", 1266, "03:04:05+00", "03:04:05Z"),
        ("time", 1266, "03:04:05-08", "03:04:05-08:00"),
        ("time", 1266, "03:04:05+09:18:59", "03:04:05+09:18:59"),
        ("interval", c.INTERVAL, "P1Y2M3DT4H5M6.789S", "P1Y2M3DT4H5M6.789S"),
        ("interval", TEXT, "P-1Y2M-3DT-0.5S", "P-1Y2M-3DT-0.5S"),
        ("interval", TEXT, "-infinity", "-infinity"),
        (
            "interval_parts",
            c.INTERVAL,
            "P1Y2M-3DT-4H-5M-6.5S",
            {"months": 14, "days": -3, "seconds": "-14706.5"},
        ),
        ("interval_parts", c.INTERVAL, "infinity", "infinity"),
        ("integer_text", c.INT8, "9223372036854775807", "9223372036854775807"),
        ("integer_text", c.NUMERIC, "1" + "0" * 60, "1" + "0" * 60),
        ("decimal_number", c.NUMERIC, "-0.10", -0.1),
        ("decimal_number", c.NUMERIC, "NaN", "NaN"),
        ("decimal", c.MONEY, "-$1,234,567.80", "-1234567.80"),
        ("money", TEXT, "$0.05", "0.05"),
        ("json", c.JSON, '{"a": [1, null]}', {"a": [1, None]}),
        ("bytes", c.BYTEA, "\\x00ff", "AP8="),
        ("bytes", c.BYTEA, "\\x", ""),
        ("uuid", c.UUID, "6f1c1a2e-0000-4000-8000-000000000001", None),
    ],
)
def test_a_text_form_of_postgresql_converts(
    field_type: str, oid: int, text: str, value: Any
) -> None:
    converted = convert(field_type, oid, text)
    assert converted == (text if value is None else value)
    assert type(converted) is type(text if value is None else value)


@pytest.mark.parametrize(
    ("field_type", "text"),
    [
        ("integer", "1_000"),
        ("integer", "1.0"),
        ("integer", "٣"),
        ("integer", ""),
        ("integer", "18446744073709551616"),
        ("decimal", "1e5"),
        ("decimal", "1,5"),
        ("boolean", "true"),
        ("float", "1_0"),
        ("float", "1e999"),
        ("date", "2024-13-01"),
        ("date", "02/01/2024"),
        ("date", "2024-01-01\n"),
        ("timestamp", "2024-01-02"),
        ("timestamp", "2024-01-02 03:04:05+00"),
        ("timestamptz", "2024-01-02 03:04:05"),
        ("timestamptz", "12345-01-01 00:00:00+01"),
        ("time", "25:00:00"),
        ("time", "03:04:05+00:00:3"),
        ("interval", "1 day"),
        ("interval", "P"),
        ("interval", "PT"),
        ("interval", "P1DT"),
        ("interval", "P1.5D"),
        ("integer_text", "1.0"),
        ("decimal_number", "1e5"),
        ("decimal_number", "01"),
        ("decimal_number", "1" + "0" * 400),
        ("money", "$1234.50"),
        ("money", "12.50"),
        ("json", "{"),
        ("json", '"\\ud800"'),
        ("bytes", "abc"),
        ("bytes", "\\xzz"),
        ("uuid", "6f1c1a2e"),
    ],
)
def test_any_other_text_is_refused(field_type: str, text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        convert(field_type, TEXT, text)


@pytest.mark.parametrize("field_type", c.TYPES)
@given(text=st.text())
def test_no_text_raises_anything_else(field_type: str, text: str) -> None:
    for oid in (TEXT, c.INT8, c.NUMERIC, c.DATE, c.TIMESTAMP, c.TIMESTAMPTZ, c.FLOAT8, c.BYTEA):
        try:
            value = convert(field_type, oid, text)
        except (ValueError, KeyError, TypeError, IndexError):
            continue
        if field_type not in ("string", "json"):
            assert not isinstance(value, list | dict)


def through_json(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


ROUND_TRIPS: list[tuple[str, int, st.SearchStrategy[Any], Callable[[Any], str], Any]] = [
    ("integer", c.INT8, st.integers(-(2**63), 2**63 - 1), str, int),
    ("integer", TEXT, st.integers(-(2**63), 2**64 - 1), str, int),
    (
        "decimal",
        c.NUMERIC,
        st.decimals(allow_nan=False, allow_infinity=False, places=4),
        lambda value: f"{value:f}",
        Decimal,
    ),
    ("float", c.FLOAT8, st.floats(allow_nan=False, allow_infinity=False), repr, float),
    ("date", c.DATE, st.dates(), date.isoformat, date.fromisoformat),
    ("date", TEXT, st.dates(), date.isoformat, date.fromisoformat),
    ("time", c.TIME, st.times(), time.isoformat, time.fromisoformat),
    (
        "timestamp",
        c.TIMESTAMP,
        st.datetimes(),
        lambda value: value.isoformat(sep=" "),
        datetime.fromisoformat,
    ),
    ("bytes", c.BYTEA, st.binary(), lambda value: "\\x" + value.hex(), base64.b64decode),
    ("uuid", c.UUID, st.uuids(), str, UUID),
    ("string", TEXT, st.text(), str, str),
]


@pytest.mark.parametrize(
    ("field_type", "oid", "values", "to_text", "from_json"),
    ROUND_TRIPS,
    ids=[f"{field_type}-{oid}" for field_type, oid, *_ in ROUND_TRIPS],
)
@given(data=st.data())
def test_a_value_survives_text_and_json(
    data: st.DataObject,
    field_type: str,
    oid: int,
    values: st.SearchStrategy[Any],
    to_text: Callable[[Any], str],
    from_json: Callable[[Any], Any],
) -> None:
    value = data.draw(values)
    assert from_json(through_json(convert(field_type, oid, to_text(value)))) == value


@given(st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)), st.data())  # noqa: DTZ001 - the zone is drawn apart
def test_a_moment_survives_in_utc(naive: datetime, data: st.DataObject) -> None:
    minutes = data.draw(st.integers(-14 * 60, 14 * 60))
    moment = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    text = convert("timestamptz", TEXT, moment.isoformat(sep=" "))
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == moment
    utc_text = moment.astimezone(UTC).isoformat(sep=" ").removesuffix(":00")
    assert convert("timestamptz", c.TIMESTAMPTZ, utc_text) == text


@given(st.datetimes())
def test_what_converts_has_the_format_that_contracts_assert(moment: datetime) -> None:
    text = moment.isoformat(sep=" ")
    assert CHECKS["local-date-time"](convert("timestamp", c.TIMESTAMP, text))
    assert CHECKS["date-time"](convert("timestamptz", c.TIMESTAMPTZ, text + "+00"))
    assert CHECKS["date"](convert("date", c.DATE, text[:10]))
    assert CHECKS["local-time"](convert("time", c.TIME, text[11:]))


def test_codes_of_a_padded_column_are_padded() -> None:
    assert c.code_table({"A": 1, "BB": 2}, c.BPCHAR, 7) == {"A  ": 1, "BB ": 2}
    assert c.code_table({"A": 1}, TEXT, -1) == {"A": 1}


@given(st.from_regex(re.compile(r"[0-9]{4}-[0-1][0-9]-[0-3][0-9]"), fullmatch=True))
def test_the_date_format_knows_the_calendar(text: str) -> None:
    try:
        date.fromisoformat(text)
        exists = text.isascii()
    except ValueError:
        exists = text[:4] == "0000" and CHECKS["date"]("2000" + text[4:])
    assert CHECKS["date"](text) == exists
