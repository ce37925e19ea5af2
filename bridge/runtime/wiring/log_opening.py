"""Open the event log where the settings say it is; one that came back from an old backup is found.

What others know of the log is asked before the log itself: it may grow meanwhile, never shrink.
"""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.restoration import Loss, Witnessed, find_loss, restored_error
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.log_identity import KEY_NAME, refuse_retired, signed_head
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors

if TYPE_CHECKING:
    from bridge.eventlog.signing.signer import Signer

LOG_FILE = "log.db"
STATE_FILE = "state.db"


def keys_dir(settings: Settings) -> Path:
    """Return where the keys are; it is not made here."""
    return settings.data_dir / "keys"


def open_event_log(settings: Settings) -> EventLogStore:
    """Return the event log; one that lacks what was signed or published takes no appends.

    Raises:
        ConfigInvalid: the settings name no log that can be opened.
        StorageUnavailable: the log, or what is known of it, cannot be read.
    """
    known = known_of_log(settings)
    log = bare_event_log(settings)
    try:
        loss = find_loss(log, known)
        if loss is not None:
            log.refuse_appends(restored_error(loss, log.head().size))
    except BaseException:
        log.close()
        raise
    return log


def loss_of_log(settings: Settings) -> Loss | None:
    """Return what the log lacks of what others know of it."""
    known = known_of_log(settings)
    with closing(bare_event_log(settings)) as log:
        return find_loss(log, known)


def bare_event_log(settings: Settings) -> EventLogStore:
    """Return the event log as it is, without asking anybody else about it."""
    url = settings.event_log.url
    if url == "sqlite":
        return SqliteEventLog(made(settings.data_dir) / LOG_FILE)
    if url.startswith(("postgresql://", "postgres://")):
        # Imported where it is needed: most logs are a file.
        from bridge.storage.event_log.postgres import PostgresEventLog

        return PostgresEventLog(_parsed(url))
    raise ConfigInvalid(
        "cannot open the event log: event_log.url must be 'sqlite' or begin with 'postgresql://'"
    )


def known_of_log(settings: Settings) -> list[Witnessed]:
    """Return what the signing key and the sinks know of the log."""
    known = []
    last = signed_head(keys_dir(settings))
    if last is not None:
        known.append(Witnessed("the signing key", last.head.size, last.head.root))
    for sink, next_index in sink_cursors(settings).items():
        known.append(Witnessed(f"sink {sink!r}", next_index))
    return known


def sink_cursors(settings: Settings) -> dict[str, int]:
    """Return where the sinks stand; none where nothing was ever published."""
    path = settings.data_dir / STATE_FILE
    if not path.exists():
        return {}
    with closing(SqliteSinkCursors(path)) as cursors:
        return cursors.all()


def open_signer(settings: Settings) -> "Signer":
    """Return the signer of checkpoints; makes its key on first use.

    Raises:
        ConfigInvalid: the name was given up, or the keys cannot be used.
    """
    from bridge.eventlog.signing.signer import Signer

    folder, origin = made(keys_dir(settings)), settings.event_log.origin
    refuse_retired(folder, origin)
    return Signer.load_or_create(folder / KEY_NAME, origin=origin)


def made(folder: Path) -> Path:
    """Return `folder`, made when it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigInvalid(f"cannot use data_dir {str(folder)!r}: {exc.strerror}") from exc
    return folder


def _parsed(url: str) -> str:
    """Return `url` unless libpq cannot read it: its own message would quote the password."""
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        conninfo_to_dict(url)
    except ProgrammingError:
        raise ConfigInvalid(
            "cannot open the event log: event_log.url is no address that PostgreSQL's library can "
            "read; expected the form postgresql://USER:PASSWORD@HOST:PORT/DATABASE"
        ) from None  # The cause would say it in a trace.
    return url
