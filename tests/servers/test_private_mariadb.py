"""A private MariaDB keeps its data through stop and crash, and lets in who knows the password."""

import os
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from bridge.demo.servers import ServerNotStarted, packages
from bridge.demo.servers.mariadb import PrivateMariaDB
from bridge.demo.servers.process import is_running


def _ask(url: str, sql: str) -> object:
    engine = create_engine(url)
    try:
        with engine.begin() as connection:
            result = connection.exec_driver_sql(sql)
            return result.scalar() if result.returns_rows else None
    finally:
        engine.dispose()


def test_committed_rows_survive_stop_and_kill_on_the_same_port(server_folder: Path) -> None:
    with PrivateMariaDB.start(server_folder) as server:
        port, first = server.port, server.pid
        _ask(server.url(), "create database kept")
        _ask(server.url("kept"), "create table t (n int primary key)")
        _ask(server.url("kept"), "insert into t values (1), (2)")
        server.stop()
        server.restart()
        assert _ask(server.url("kept"), "select count(*) from t") == 2
        server.kill()
        assert not server.is_running
        assert not is_running(first)
        server.restart()
        assert _ask(server.url("kept"), "select count(*) from t") == 2
        assert server.port == port
        assert server.pid != first


def test_the_administrator_needs_the_password_and_nobody_else_exists(
    mariadb: PrivateMariaDB,
) -> None:
    url = make_url(mariadb.url())
    assert _ask(mariadb.url(), "select current_user()") == "root@127.0.0.1"
    assert url.password
    for user in ("root", "", "mysql"):
        stranger = url.set(username=user, password="")
        with pytest.raises(OperationalError, match="denied"):
            _ask(stranger.render_as_string(hide_password=False), "select 1")


def test_a_wrong_setting_is_quoted_in_the_error(server_folder: Path) -> None:
    with pytest.raises(ServerNotStarted, match="plenty"):
        PrivateMariaDB.start(server_folder, settings={"plenty": "1"})


def test_it_is_installed_for_the_tests_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def nowhere() -> str:
        raise ServerNotStarted("not here")

    monkeypatch.setattr(packages, "server_program", nowhere)
    assert "mariadb-server" in packages.missing(for_tests=True)
    assert "mariadb-server" not in packages.missing()
    monkeypatch.setenv("PATH", f"/nonexistent:{os.environ['PATH']}")
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    monkeypatch.setattr("sys.argv", ["packages", "--for-tests"])
    assert packages.main() == 69
    assert "mariadb-server" in capsys.readouterr().err
