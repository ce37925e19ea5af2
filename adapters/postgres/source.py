"""One legacy PostgreSQL database as a source of changes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import psycopg

from adapters.postgres.chunks import PostgresChunkReader
from adapters.postgres.fingerprint import PostgresFingerprint
from adapters.postgres.inspection.look import Capturing
from adapters.postgres.preparation import PostgresPreparation
from adapters.postgres.publication import NoIdentity
from adapters.postgres.server import LOCK_TIMEOUT_MS_DEFAULT, PostgresServer
from adapters.postgres.slot_watch import PostgresSlotReader, read_holder
from adapters.postgres.snapshot import PostgresSnapshot
from adapters.postgres.stream import (
    ORDINARY_FORM,
    SILENCE_S_MAX_DEFAULT,
    PostgresChangeStream,
    StreamForm,
)
from bridge.capture.cursor import CaptureCursor
from bridge.capture.ports import Preparation, TableShape
from bridge.model.errors import SourceUnavailable


class PostgresSource:
    """Implements `ChangeSource` by logical replication (pgoutput)."""

    def __init__(
        self,
        dsn: str,
        *,
        slot: str,
        publication: str,
        tables: tuple[str, ...],
        mapped: Mapping[str, frozenset[str]] = MappingProxyType({}),
        no_identity: NoIdentity = "insert_only",
        lock_timeout_ms: int = LOCK_TIMEOUT_MS_DEFAULT,
        silence_s_max: float = SILENCE_S_MAX_DEFAULT,
        failover: bool = True,
        form: StreamForm = ORDINARY_FORM,
    ) -> None:
        """`mapped` says which columns of a table contracts use, for what must be asked for.

        Raises `ConfigInvalid` when `dsn` is not a libpq connection string.
        """
        self._server = PostgresServer(
            dsn, application_name=f"legacy-bridge {slot}", lock_timeout_ms=lock_timeout_ms
        )
        self._slot = slot
        self._preparation = PostgresPreparation(
            self._server,
            Capturing(
                slot=slot,
                publication=publication,
                tables=tables,
                mapped=mapped,
                no_identity=no_identity,
                failover=failover,
            ),
        )
        self._silence_s_max = silence_s_max
        self._form = form

    def prepare(
        self, cursor: CaptureCursor | None, check: Callable[[TableShape], None] | None = None
    ) -> Preparation:
        """Check the source, create what is missing, and judge whether `cursor` still fits."""
        return self._preparation.prepare(cursor, check)

    def shapes(self) -> tuple[TableShape, ...]:
        """Return the captured tables that exist, as they are published now; changes nothing."""
        return self._preparation.shapes()

    def stream(self, start_lsn: int) -> PostgresChangeStream:
        """Open the stream of changes that committed at or after `start_lsn`."""
        connection = self._server.connect_replication()
        try:
            return PostgresChangeStream(
                self._server,
                connection,
                slot=self._slot,
                publications=self._preparation.publications,
                start_lsn=start_lsn,
                silence_s_max=self._silence_s_max,
                form=self._form,
                refuse_streaming=self._refuse_streaming,
            )
        except psycopg.errors.ObjectInUse as exc:
            connection.close()
            raise SourceUnavailable(
                f"cannot start replication from {self._server.place}: "
                f"{exc.diag.message_primary}{read_holder(self._server, self._slot)}; stop that "
                "reader, or wait until the server notices that it is gone (wal_sender_timeout)"
            ) from exc
        except psycopg.Error as exc:
            connection.close()
            raise self._server.translate(exc, "start replication from", starting=True) from exc
        except BaseException:
            connection.close()
            raise

    def slot_reader(self) -> PostgresSlotReader:
        """Return what looks at our slot beside the stream, with a connection of its own."""
        return PostgresSlotReader(self._server, self._slot)

    def facts_reader(self, tables: Sequence[str]) -> PostgresFingerprint:
        """Return what looks at the catalog beside the stream, with a connection of its own."""
        return PostgresFingerprint(
            self._server, tables=tables, publications=self._preparation.publications
        )

    def _refuse_streaming(self) -> None:
        self._form = replace(self._form, stages=None)

    def chunks(self) -> PostgresChunkReader:
        """Return what reads rows beside the stream, over a connection of its own."""
        return PostgresChunkReader(self._server)

    def snapshot(self) -> PostgresSnapshot:
        """Take a snapshot; waits for older open transactions, up to the lock timeout."""
        return PostgresSnapshot(self._server, slot=f"{self._slot}_snapshot")
