"""The server itself says which savepoints were rolled back."""

import psycopg

from adapters.postgres.server import PostgresServer
from adapters.postgres.sub_transactions import any_undone
from tests.conftest import Database


def own_xid(sql: psycopg.Connection, row: int) -> int:
    """Insert a row; return the lower half of the id of who inserted it."""
    sql.execute("insert into t values (%s)", (row,))
    found = sql.execute("select xmin::text from t where id = %s", (row,)).fetchone()
    assert found is not None
    return int(found[0])


def test_a_rollback_is_known_at_once_and_a_release_is_none(any_database: Database) -> None:
    server = PostgresServer(any_database.dsn, application_name="test")
    with psycopg.connect(any_database.dsn) as sql:
        sql.execute("create table t (id int)")
        top = own_xid(sql, 1)
        sql.execute("savepoint kept")
        kept = own_xid(sql, 2)
        sql.execute("release kept")
        sql.execute("savepoint undone")
        undone = own_xid(sql, 3)
        sql.execute("rollback to undone")
        assert len({top, kept, undone}) == 3
        # Before the commit, which a stream may show sooner than it is visible, and after it.
        assert not any_undone(server, [kept])
        assert any_undone(server, [kept, undone])
        sql.commit()
        assert not any_undone(server, [top, kept])
        assert any_undone(server, [kept, undone])
