"""A second slot as the truth: every change that the source committed, in its order."""

from typing import Any

import psycopg

from bridge.capture.assembler import TransactionAssembler
from bridge.capture.pgoutput import PgOutputDecoder
from bridge.model.change import TransactionPart
from tests.capture import frames
from tests.capture.running import SOURCE


class Oracle:
    """Reads through its own slot with SQL, without ever acknowledging."""

    def __init__(self, sql: psycopg.Connection, slot: str, publication: str) -> None:
        self._sql = sql
        self._slot = f"{slot}_oracle"
        self._names = f"{publication},{publication}_insert"
        sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (self._slot,))

    def parts(self, sql: psycopg.Connection | None = None) -> list[TransactionPart]:
        """Return every transaction since the slot was made; over `sql` if the server was gone."""
        rows: list[Any] = (
            (sql or self._sql)
            .execute(
                "select data from pg_logical_slot_peek_binary_changes(%s, null, null,"
                " 'proto_version', '1', 'publication_names', %s)",
                (self._slot, self._names),
            )
            .fetchall()
        )
        decoder, assembler = PgOutputDecoder(), TransactionAssembler(changes_max=10**9)
        fed = (assembler.feed(decoder.decode(frames.frame(bytes(row[0]))), 0) for row in rows)
        return [part for part in fed if part is not None]

    def ids(self, beyond: int, sql: psycopg.Connection | None = None) -> list[str]:
        """Return the event ids of everything that committed at `beyond` or later."""
        return [
            f"{SOURCE}:{part.commit_lsn:016X}:{ordinal:08X}"
            for part in self.parts(sql)
            if part.commit_lsn >= beyond
            for ordinal in range(len(part.changes))
        ]
