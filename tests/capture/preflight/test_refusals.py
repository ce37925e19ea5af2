"""A server that refuses us is told from one that is not there, in any language."""

from pathlib import Path

import psycopg
import pytest

from adapters.postgres.refusal import read_refusal
from adapters.postgres.server import PostgresServer
from bridge.demo.servers import PrivatePostgres
from bridge.model.errors import Remedy, SourceUnavailable, SourceUnfit
from tests.waiting import wait_until

PASSWORD = "canary-secret"


def refused(dsn: str, *, replication: bool = False) -> SourceUnfit:
    """Return how connecting is refused."""
    server = PostgresServer(dsn, application_name="legacy-bridge test")
    with pytest.raises(SourceUnfit) as caught:
        (server.connect_replication if replication else server.connect)()
    assert PASSWORD not in str(caught.value)
    assert caught.value.remedy is Remedy.OPERATOR
    return caught.value


def test_a_wrong_password_is_for_a_person(postgres: PrivatePostgres) -> None:
    dsn = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{postgres.port}/postgres"
    for replication in (False, True):
        error = str(refused(dsn, replication=replication))
        assert 'password authentication failed for user "postgres" (SQLSTATE 28P01)' in error
        assert "correct the password of role 'postgres' in the source's DSN" in error


def test_a_password_that_is_not_given(postgres: PrivatePostgres) -> None:
    error = str(refused(f"postgresql://postgres@127.0.0.1:{postgres.port}/postgres"))
    assert "no password supplied" in error


def test_a_role_and_a_database_that_do_not_exist(postgres: PrivatePostgres) -> None:
    place = f"127.0.0.1:{postgres.port}"
    assert 'role "nobody" does not exist' in str(refused(f"postgresql://nobody@{place}/postgres"))
    assert "(SQLSTATE 3D000)" in str(refused(postgres.dsn("no_such_database")))


def reload_settings(admin: psycopg.Connection) -> None:
    """Make the server read its files again; the postmaster does before it tells its backends."""
    loaded = "select pg_conf_load_time()"
    before = admin.execute(loaded).fetchone()
    admin.execute("select pg_reload_conf()")
    wait_until(lambda: admin.execute(loaded).fetchone() != before, what="the settings")


@pytest.mark.parametrize("line", ["", "host refused clerk 127.0.0.1/32 reject\n"])
def test_an_entry_of_pg_hba_is_missing(server_folder: Path, line: str) -> None:
    """Without a line, and with one that rejects; the line that we print is then the remedy."""
    with PrivatePostgres.start(server_folder) as server, psycopg.connect(
        server.dsn(), autocommit=True
    ) as admin:  # fmt: skip
        admin.execute(f"create role clerk login replication password '{PASSWORD}'".encode())
        admin.execute("create database refused")
        hba = server_folder / "data" / "pg_hba.conf"
        only_admin = "host all postgres 127.0.0.1/32 scram-sha-256\n"
        hba.write_text(line + only_admin)
        reload_settings(admin)
        dsn = f"postgresql://clerk:{PASSWORD}@127.0.0.1:{server.port}/refused"
        source = PostgresServer(dsn, application_name="legacy-bridge test")
        error = str(refused(dsn, replication=True))
        assert "SQLSTATE 28000" in error
        advised = error.rpartition("reload: ")[2]
        assert advised == "host refused clerk 127.0.0.1/32 scram-sha-256"
        hba.write_text(f"{advised}\n{line}{only_admin}")
        reload_settings(admin)
        for connection in (source.connect(), source.connect_replication()):
            connection.close()


def test_another_language_is_understood(postgres: PrivatePostgres) -> None:
    """The server's text says nothing that we know; libpq's trace has the code."""
    wrong = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{postgres.port}/postgres"
    german = psycopg.OperationalError(
        "connection failed: FATAL:  Passwort-Authentifizierung für Benutzer »postgres«"
        " fehlgeschlagen"
    )
    assert read_refusal(german, wrong).state == "28P01"
    missing = postgres.dsn("no_such_database")
    assert read_refusal(psycopg.OperationalError("FATAL:  Datenbank fehlt"), missing).state == (
        "3D000"
    )
    nobody = "postgresql://postgres@127.0.0.1:1/postgres"
    assert read_refusal(psycopg.OperationalError("FATAL:  ???"), nobody).state == ""


def test_a_server_that_is_not_there_is_tried_again() -> None:
    server = PostgresServer("postgresql://a@127.0.0.1:1/d", application_name="legacy-bridge test")
    with pytest.raises(SourceUnavailable, match="refused"):
        server.connect()
