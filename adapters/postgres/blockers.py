"""Who keeps a slot from being created: every transaction that has written and is still open.

The server waits for those of all databases, prepared ones too. Pids, ages and names only: never the
text of a query.
"""

from typing import Final, NamedTuple

import psycopg

from adapters.postgres.catalog import fetch_rows
from adapters.postgres.server import PostgresServer
from bridge.model.errors import SourceUnavailable

# The oldest are enough to know whom to ask; the rest will be told next time.
_TOLD_MAX: Final = 5

# `backend_xid` is shown to everybody, the start of a transaction only to its own role, to members
# of pg_read_all_stats and to superusers.
_WRITERS = """
select pid, application_name as application, usename::text as user_name, datname::text as database,
       floor(extract(epoch from clock_timestamp() - xact_start))::int as age_s
  from pg_stat_activity
 where backend_xid is not null and pid <> pg_backend_pid()
 order by xact_start nulls last, pid
"""

_PREPARED = """
select gid, owner::text as user_name, database::text as database,
       floor(extract(epoch from clock_timestamp() - prepared))::int as age_s
  from pg_prepared_xacts
 order by prepared
"""


class _Blocker(NamedTuple):
    age_s: int | None
    text: str


def read_blockers(connection: psycopg.Connection, *, age_s_min: int = 0) -> list[str]:
    """Return the open writing transactions as text, the oldest first.

    Those known to be younger than `age_s_min` are left out.
    """
    found = [
        _Blocker(
            row.age_s,
            f"pid {row.pid} (application {row.application!r}, user {row.user_name!r}, database "
            f"{row.database!r}, {_age(row.age_s)})",
        )
        for row in fetch_rows(connection, _WRITERS)
    ]
    found += [
        _Blocker(
            row.age_s,
            f"prepared transaction {row.gid!r} (user {row.user_name!r}, database "
            f"{row.database!r}, {_age(row.age_s)})",
        )
        for row in fetch_rows(connection, _PREPARED)
    ]
    found.sort(key=lambda blocker: blocker.age_s or 0, reverse=True)
    return [text for age_s, text in found if age_s is None or age_s >= age_s_min]


def told(blockers: list[str]) -> str:
    """Return the first few of `blockers` in one line, and how many more there are."""
    more = len(blockers) - _TOLD_MAX
    return ", ".join(blockers[:_TOLD_MAX]) + (f" and {more} more" if more > 0 else "")


def blocked(
    server: PostgresServer, connection: psycopg.Connection, doing: str
) -> SourceUnavailable:
    """Return the error for a slot that had to wait too long for writing transactions."""
    who = told(read_blockers(connection)) or "none any more"
    return SourceUnavailable(
        f"cannot {doing} on source database at {server.place}: it waits for open writing "
        f"transactions, the oldest: {who}; it is tried again"
    )


def _age(age_s: int | None) -> str:
    if age_s is None:
        return "its age is shown to members of pg_read_all_stats only"
    return f"open for {age_s} s"
