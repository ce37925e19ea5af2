"""What became of sub-transactions, by the server's own commit log."""

from collections.abc import Collection
from typing import Final

from adapters.postgres.server import PostgresServer

# The stream has the lower half of each id; the nearest to now is meant. What the server has
# forgotten (null) counts as undone: nothing says that it was not. "In progress" is a transaction
# whose commit was decoded before it became visible; an undone part of it is `aborted` at once.
_ANY_UNDONE: Final = """
with now as (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as xmax),
     near as (select xmax, (xmax & ~x'ffffffff'::bigint) | xid as guess
                from now, unnest(%s::bigint[]) as seen(xid)),
     whole as (select case when guess - xmax > 2147483647 then guess - 4294967296
                           when xmax - guess > 2147483647 then guess + 4294967296
                           else guess end as xid
                 from near)
select exists (select from whole
                where coalesce(pg_xact_status(xid::text::xid8), 'forgotten')
                      not in ('committed', 'in progress'))
"""


def any_undone(server: PostgresServer, xids: Collection[int]) -> bool:
    """Return whether one of the sub-transactions (32-bit ids) was rolled back, or may have been.

    Raises `SourceUnavailable` when the server cannot be asked.
    """
    with server.connect() as connection, server.errors("look up transactions of"):
        row = connection.execute(_ANY_UNDONE, (list(xids),)).fetchone()
    assert row is not None, "a select without a table always has a row"
    return bool(row[0])
