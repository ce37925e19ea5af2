"""Every version that capture is tested on runs here, with the extensions that types need."""

import platform

import psycopg
import pytest

from bridge.demo.servers import PrivatePostgres
from bridge.demo.servers.postgres_programs import VERSIONS
from tests import conftest
from tests.conftest import Database


def test_a_version_is_what_it_says(any_postgres: PrivatePostgres, any_database: Database) -> None:
    with psycopg.connect(any_database.dsn, autocommit=True) as connection:
        assert connection.info.server_version // 10_000 in VERSIONS
        assert connection.info.port == any_postgres.port
        for name in ("hstore", "citext", "ltree"):
            connection.execute(f"create extension {name}".encode())
        connection.execute(
            "select pg_create_logical_replication_slot(%s, 'pgoutput')", [any_database.name]
        )


def test_18_is_18(postgres_18: PrivatePostgres) -> None:
    with psycopg.connect(postgres_18.dsn()) as connection:
        assert connection.info.server_version // 10_000 == 18


def test_the_header_says_what_cannot_be_tested_here(monkeypatch: pytest.MonkeyPatch) -> None:
    (usual,) = conftest.pytest_report_header()
    monkeypatch.setattr(conftest, "unsupported_platform", lambda: "no packages for this machine")
    (elsewhere,) = conftest.pytest_report_header()
    assert "no packages for this machine" in elsewhere
    assert "no packages" not in usual or platform.machine() != "x86_64"
