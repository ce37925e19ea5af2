"""Open the write journal where the settings say it is: a file, or PostgreSQL for many machines."""

from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.log_opening import made
from bridge.storage.generation import Generation
from bridge.storage.journal.owner import FileLock, OwnerLocks
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk

# Imported where they are needed: a gateway whose journal is a file does without PostgreSQL, and
# what only looks at switches without the journal's own thread.
if TYPE_CHECKING:
    from bridge.storage.journal.postgres import PostgresJournal
    from bridge.storage.journal.postgres_desk import PostgresJournalDesk
    from bridge.storage.journal.postgres_replicas import PostgresReplicas
    from bridge.storage.journal.sqlite import SqliteJournal

Journal: TypeAlias = "SqliteJournal | PostgresJournal"
Desk: TypeAlias = "SqliteJournalDesk | PostgresJournalDesk"

JOURNAL_FILE: Final = "journal.db"

REPLAY: Final = "replay"
"""The lease of the one process that replays."""


class Held(Protocol):
    """A lock or lease of ours."""

    def held(self) -> bool:
        """Whether nobody else can hold it now."""

    def close(self) -> None:
        """Give it back."""


class Replicas(Protocol):
    """Who is alive, what they decide by, and which one of them may do what only one may."""

    def take(self, owner: str) -> Held:
        """Be `owner` until it is closed or this process ends."""

    def alive(self, owner: str) -> bool:
        """Return whether the process that took `owner` still lives."""

    def take_alone(self, name: str) -> Held:
        """Be the only one that does `name`; raises `StorageUnavailable` when another one does."""


class LocalReplicas:
    """`Replicas` of one machine: file locks in the run folder, which the kernel releases."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._owners = OwnerLocks(run_dir)

    def take(self, owner: str) -> Held:
        """Be `owner` until it is closed or this process ends."""
        return self._owners.take(owner)

    def alive(self, owner: str) -> bool:
        """Return whether the process that took `owner` still lives."""
        return self._owners.alive(owner)

    def take_alone(self, name: str) -> Held:
        """Be the only one that does `name`."""
        return FileLock.take(self._run_dir / f"{name}.lock")


def journal_dsn(settings: Settings) -> str | None:
    """Return where the journal's database is; None when it is a file in `data_dir`.

    Raises:
        ConfigInvalid: `gateway.journal` says neither.
    """
    url = "sqlite" if settings.gateway is None else settings.gateway.journal
    if url == "sqlite":
        return None
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigInvalid(
            "cannot open the write journal: gateway.journal must be 'sqlite' or begin with "
            "'postgresql://'"
        )
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        raise ConfigInvalid(
            "cannot open the write journal: gateway.journal is no address that PostgreSQL's "
            "library can read; expected the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None  # The cause would quote the password in a trace.
    return url


def open_journal(settings: Settings) -> Journal:
    """Return the journal as a gateway worker and the replayer use it."""
    dsn = journal_dsn(settings)
    if dsn is None:
        from bridge.storage.journal.sqlite import SqliteJournal

        return SqliteJournal(made(settings.data_dir) / JOURNAL_FILE)
    from bridge.storage.journal.postgres import PostgresJournal

    return PostgresJournal(dsn)


def open_desk(settings: Settings) -> Desk:
    """Return the journal as a person, the switchboard and the sequencer use it."""
    dsn = journal_dsn(settings)
    if dsn is None:
        return SqliteJournalDesk(made(settings.data_dir) / JOURNAL_FILE)
    from bridge.storage.journal.postgres_desk import PostgresJournalDesk

    return PostgresJournalDesk(dsn)


def open_board(settings: Settings, run_dir: Path) -> "Generation | PostgresReplicas":
    """Return how replicas learn of switches: those of the machine, or of all machines."""
    dsn = journal_dsn(settings)
    if dsn is None:
        return Generation.open(run_dir / "generation")
    from bridge.storage.journal.postgres_replicas import PostgresReplicas

    return PostgresReplicas(dsn)
