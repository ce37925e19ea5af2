"""A private PostgreSQL keeps its data through stop and crash, and leaves nothing behind."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from bridge.demo.servers import PrivatePostgres, ServerNotStarted
from bridge.demo.servers.process import is_running
from tests.conftest import Database
from tests.wire import Wire


def _count(server: PrivatePostgres) -> int:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute("SELECT count(*) FROM kept").fetchone()
        assert row is not None
        return int(row[0])


def _fill(server: PrivatePostgres) -> None:
    with psycopg.connect(server.dsn()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 1000) AS n")


def test_committed_rows_survive_stop_and_kill_on_the_same_port(server_folder: Path) -> None:
    with PrivatePostgres.start(server_folder) as server:
        port, first = server.port, server.pid
        _fill(server)
        server.stop()
        server.restart()
        assert _count(server) == 1000
        server.kill()
        assert not server.is_running
        server.restart()
        assert _count(server) == 1000
        assert server.port == port
        assert server.pid != first


def test_kill_ends_every_backend_at_once(server_folder: Path) -> None:
    with (
        PrivatePostgres.start(server_folder) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        backend = connection.info.backend_pid
        assert is_running(backend)
        server.kill()
        assert not is_running(backend)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_kill_leaves_no_shared_memory(server_folder: Path) -> None:
    with PrivatePostgres.start(server_folder) as server:
        lines = (server_folder / "data" / "postmaster.pid").read_text().splitlines()
        segment = lines[6].split()[1]
        assert segment in _shared_memory_segments()
        server.kill()
        assert segment not in _shared_memory_segments()


def _shared_memory_segments() -> list[str]:
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return [line.split()[1] for line in lines]


def test_two_run_side_by_side(server_folder: Path) -> None:
    with (
        PrivatePostgres.start(server_folder / "a") as one,
        PrivatePostgres.start(server_folder / "b") as other,
    ):
        assert one.port != other.port
        _fill(one)
        with psycopg.connect(other.dsn()) as connection:
            assert connection.execute("SELECT to_regclass('kept')").fetchone() == (None,)


def test_it_is_set_up_for_capture_and_takes_settings(server_folder: Path) -> None:
    with (
        PrivatePostgres.start(server_folder, settings={"wal_level": "replica"}) as server,
        psycopg.connect(server.dsn()) as connection,
    ):
        assert connection.execute("SHOW wal_level").fetchone() == ("replica",)
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)


def test_the_superuser_needs_its_password_and_other_roles_none(database: Database) -> None:
    name = f"weak_{database.name}"
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        host, port = connection.info.host, connection.info.port
        connection.execute(f'CREATE ROLE "{name}" LOGIN'.encode())
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=host, port=port, user="postgres", dbname=database.name)
        psycopg.connect(host=host, port=port, user=name, dbname=database.name).close()
        connection.execute(f'DROP ROLE "{name}"'.encode())


def test_a_wrong_setting_is_quoted_in_the_error(server_folder: Path) -> None:
    with pytest.raises(ServerNotStarted, match='invalid value for parameter "wal_level"'):
        PrivatePostgres.start(server_folder, settings={"wal_level": "plenty"})


def test_a_database_and_its_slots_are_the_tests_own(database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [f"slot_{database.name}"]
        )
        assert connection.info.dbname == database.name


def test_a_connection_through_a_wire_is_cut(
    database: Database, wire: Callable[[int | str], Wire]
) -> None:
    cuttable = wire(database.dsn)
    with psycopg.connect(cuttable.through(database.dsn)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        cuttable.cut()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    psycopg.connect(cuttable.through(database.dsn)).close()
