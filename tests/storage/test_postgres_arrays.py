"""Arrays that are written in one go are what PostgreSQL reads from them."""

from typing import Any

import pytest

from bridge.storage.journal.postgres_arrays import array_of, columns
from bridge.storage.journal.postgres_connection import connect
from tests.conftest import Database


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("text", ["a", None, "", "NULL", 'q"q', "b\\b", "{x,y}", " s ", "é\n☃", '\\"', "'"]),
        ("bigint", [1, None, -(1 << 63), (1 << 63) - 1]),
        ("float8", [1.5, None, 1e300, 0.1]),
        ("boolean", [True, False, None]),
        ("bytea", [b"", b"\x00\xff\\x41", b"x" * 100_000]),
        ("text", []),
    ],
)
def test_an_array_is_read_back(database: Database, kind: Any, values: list[Any]) -> None:
    mark = "%b" if kind == "bytea" else "%s"
    with connect(database.dsn) as connection:
        row = connection.execute(
            f"SELECT {mark}::{kind}[]", (array_of(values),)
        ).fetchone()  # Of the list above.
    assert row == (values,)


def test_rows_become_columns() -> None:
    assert columns([("a", 1), ("b", 2)]) == ('{"a","b"}', "{1,2}")
