"""A second slot as the truth: every change that the source committed, in its order."""

from typing import Any

import psycopg

from bridge.capture.protocol.assembler import TransactionAssembler
from bridge.capture.protocol.pgoutput import PgOutputDecoder
from bridge.model.change import TransactionPart
from tests.capture import frames
from tests.capture.random.second_decoder import Transaction, decode
from tests.capture.running import SOURCE


class Oracle:
    """Reads through its own slot with SQL, without ever acknowledging."""

    def __init__(self, sql: psycopg.Connection, slot: str, publication: str) -> None:
        self._sql = sql
        self._slot = f"{slot}_oracle"
        self._names = f"{publication},{publication}_insert"
        sql.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", (self._slot,))

    def _read(self, sql: psycopg.Connection | None) -> list[bytes]:
        rows: list[Any] = (
            (sql or self._sql)
            .execute(
                "select data from pg_logical_slot_peek_binary_changes(%s, null, null,"
                " 'proto_version', '1', 'publication_names', %s, 'messages', 'true')",
                (self._slot, self._names),
            )
            .fetchall()
        )
        return [bytes(row[0]) for row in rows]

    def transactions(self, sql: psycopg.Connection | None = None) -> list[Transaction]:
        """Return every transaction since the slot was made, read by the second decoder.

        Pass `sql` if the server was gone meanwhile; it needs the settings that capture pins.
        """
        return decode(self._read(sql))

    def parts(self, sql: psycopg.Connection | None = None) -> list[TransactionPart]:
        """Return every transaction since the slot was made, read by capture's own decoder."""
        decoder, assembler = PgOutputDecoder(), TransactionAssembler(changes_max=10**9)
        fed = (
            assembler.feed(decoder.decode(frames.frame(message)), 0) for message in self._read(sql)
        )
        return [part for part in fed if part is not None]

    def ids(self, beyond: int, sql: psycopg.Connection | None = None) -> list[str]:
        """Return the event ids of everything that committed at `beyond` or later."""
        return [
            event_id(transaction, ordinal)
            for transaction in self.transactions(sql)
            if transaction.commit_lsn >= beyond
            for ordinal in range(len(transaction.changes))
        ]


def event_id(transaction: Transaction, ordinal: int) -> str:
    """Return the id that capture owes the change."""
    return f"{SOURCE}:{transaction.commit_lsn:016X}:{ordinal:08X}"
