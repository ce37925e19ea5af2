"""Values are exact, whatever the database: in texts that the one codec reads."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest

from adapters.polling import rendering
from bridge.capture.polling.plan import Strategy, TablePlan
from bridge.capture.polling.scalars import format_scalar, parse_scalar
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.polling.rig import Legacy, events, polling
from tests.waiting import wait_until

MARIADB = {
    "big bigint unsigned": ("18446744073709551615", "18446744073709551615"),
    "tiny tinyint(1)": ("1", "1"),
    "num decimal(30, 10)": ("12345678901234567890.0123456789", "12345678901234567890.0123456789"),
    "small decimal(10, 2)": ("-0.10", "-0.10"),
    "d double": ("0.1", "0.1"),
    "huge double": ("1.7976931348623157e308", "1.7976931348623157e+308"),
    "f float": ("3.1415927", "3.1415927"),
    "g float": ("0.1", "0.1"),
    "dt datetime(6)": ("'2024-02-29 23:59:59.123456'", "2024-02-29 23:59:59.123456"),
    "dt0 datetime": ("'2024-02-29 23:59:59'", "2024-02-29 23:59:59"),
    "ts timestamp(3) null": ("'2024-07-01 12:00:00.5'", "2024-07-01 12:00:00.500000+00"),
    "day date": ("'1000-01-01'", "1000-01-01"),
    "zero date": ("'0000-00-00'", "0000-00-00"),
    "part date": ("'2024-00-10'", "2024-00-10"),
    "t time(6)": ("'23:59:59.000001'", "23:59:59.000001"),
    "span time": ("'-838:59:59'", "-838:59:59"),
    "y year": ("2024", "2024"),
    "b1 bit(1)": ("b'1'", "1"),
    "b9 bit(9)": ("b'101'", "000000101"),
    "bin varbinary(9)": ("x'00ff5c'", "\\x00ff5c"),
    "j json": ('\'{"a": 1.10, "a2": 12345678901234567890}\'', None),
    "e enum('x', 'y')": ("'y'", "y"),
    "s set('p', 'q')": ("'p,q'", "p,q"),
    "txt varchar(20)": ("'日本語 🐘'", "日本語 🐘"),
    "old char(4) character set latin1": ("'äß'", "äß"),
    "none int": ("null", None),
}


def test_mariadb_values_are_exact(maria: Legacy, log: SqliteEventLog, tmp_path: Path) -> None:
    columns = ", ".join(MARIADB)
    values = ", ".join(value for value, _ in MARIADB.values())
    maria.run(
        f"create table t (id int primary key, {columns}) character set utf8mb4",
        f"insert ignore into t values (1, {values})",  # Zero dates are not refused.
    )
    row = _only_row(maria, log, tmp_path)
    expected = {
        name.split()[0]: value[0].strip("'") if name.startswith("j ") else value[1]
        for name, value in MARIADB.items()
    }
    assert {name: row[name] for name in expected} == expected


POSTGRES = {
    "char(5)": "'ab'",
    "boolean": "true",
    "numeric": "'NaN'",
    "timestamptz": "'infinity'",
    "interval": "'1 year 2 days 3.5 seconds'",
    "bytea": "'\\x00ff'",
    "int[]": "'{1,null,3}'",
    "jsonb": "'{\"a\": 1.10}'",
    "float4": "0.1",
    "text": "''",
    "int": "null",
    "int4range": "'[1,5)'",
    "inet": "'10.0.0.1/8'",
    "date": "'4713-01-01 BC'",
}


def test_postgresql_values_are_those_of_the_stream(
    pg: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    columns = ", ".join(f'"c {n}:" {kind}' for n, kind in enumerate(POSTGRES))
    pg.run(
        f"create table t (id int primary key, {columns})",
        f"insert into t values (1, {', '.join(POSTGRES.values())})",
    )
    row = _only_row(pg, log, tmp_path)
    assert list(row.values()) == _streamed(pg)


def _streamed(pg: Legacy) -> list[str | None]:
    """Return the row as COPY gives it, which is what replication sends."""
    options = "-c timezone=UTC -c intervalstyle=iso_8601 -c extra_float_digits=3"
    with (
        psycopg.connect(pg.url, options=options) as connection,
        connection.cursor().copy("copy t to stdout") as copy,
    ):
        line = b"".join(copy).decode().rstrip("\n")
    return [None if text == "\\N" else text.replace("\\\\", "\\") for text in line.split("\t")]


def test_sqlite_values_are_what_is_stored(
    lite: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    lite.run(
        "create table t (id integer primary key, n, r real, txt text, b blob, none)",
        "insert into t values (1, 9223372036854775807, 0.1, 'äöü', x'00ff', null)",
    )
    assert _only_row(lite, log, tmp_path) == {
        "id": "1",
        "n": "9223372036854775807",
        "r": "0.1",
        "txt": "äöü",
        "b": "\\x00ff",
        "none": None,
    }


def test_names_are_opaque(legacy: Legacy, log: SqliteEventLog, tmp_path: Path) -> None:
    quote = "`" if legacy.system == "mariadb" else '"'
    # Two of the drivers take a percent sign for a parameter's.
    odd = f"{quote}Order:Of %{'' if legacy.system == 'sqlite' else '%'}(x)s{quote}"
    legacy.run(
        f"create table t (id int primary key, {odd} varchar(9), {quote}select{quote} int)",
        "insert into t values (1, 'x', 2)",
    )
    row = _only_row(legacy, log, tmp_path)
    assert row == {"id": "1", "Order:Of %(x)s": "x", "select": "2"}


def test_columns_that_are_ignored_are_never_read(
    legacy: Legacy, log: SqliteEventLog, tmp_path: Path
) -> None:
    legacy.run(
        "create table t (id int primary key, note varchar(9), secret varchar(9))",
        "insert into t values (1, 'x', 'password')",
    )
    row = _only_row(legacy, log, tmp_path, ignore=("secret",))
    assert row == {"id": "1", "note": "x"}


def _only_row(legacy: Legacy, log: SqliteEventLog, folder: Path, **options: Any) -> dict[str, Any]:
    plan = TablePlan(table=legacy.table("t"), strategy=Strategy.FULL, interval_s=0.05, **options)
    with polling(legacy, log, folder, plan) as running:
        for _ in range(2):  # The second scan sees no difference.
            wait_until(lambda: running.failure or running.observer.notes("scanned"))
            assert running.failure is None, running.failure
            running.observer.clear()
    (event,) = events(log)
    row: dict[str, Any] = event["after"]
    return row


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (float("nan"), "NaN"),
        (float("-inf"), "-Infinity"),
        (1e22, "1e+22"),
        (-0.0, "-0"),
        (2.0, "2"),
        (True, "t"),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        (memoryview(b"\x01"), "\\x01"),
    ],
)
def test_other_drivers_values_have_postgresql_texts(value: Any, text: str) -> None:
    assert rendering.cell(value) == text


def test_a_position_comes_back_as_what_it_was() -> None:
    for value in (
        "text",
        -(2**70),
        0.1,
        Decimal("1.10"),
        datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=UTC),
        date(2024, 2, 29),
        time(1, 2, 3, 4),
        timedelta(microseconds=-5),
        b"\x00\xff",
        UUID(int=7),
    ):
        back = parse_scalar(format_scalar(value))
        assert (back, type(back)) == (value, type(value))
