"""Wire the comparison of a source with the log: it reads both and writes to neither."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from bridge.capture.cursor import parse_cursor
from bridge.capture.snapshot.comparison import TableComparison, TableReport
from bridge.capture.snapshot.row_events import ContractRowEvents
from bridge.eventlog.keeping.unsealer import UnsealedLog
from bridge.model.errors import ConfigInvalid
from bridge.runtime.wiring.capture import postgres_source
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.reading import snapshot_limits
from bridge.runtime.wiring.stores import Stores
from bridge.storage.last_state import SqliteLastState

Progress = Callable[[str, str, int, int], None]
"""Told table, what is read, how much is done, and of how much (0: unknown)."""


def compare_source(
    stores: Stores, name: str, tables: Sequence[str], progress: Progress
) -> Iterator[TableReport]:
    """Compare `tables` of source `name` (all when empty) one after the other.

    Raises:
        ConfigInvalid: a table is not captured, or it has no key; nothing was captured yet.
    """
    settings = stores.settings
    contracts = contract_set(settings, unsealed=True)
    source = postgres_source(settings, name, contracts)
    log = UnsealedLog(stores.event_log(), stores.keeping().unsealer)

    def log_position() -> int:
        cursor = log.cursor(name)
        if cursor is None:
            raise ConfigInvalid(f"cannot compare source {name!r}: nothing was captured yet")
        return parse_cursor(cursor.state).end_lsn

    log_position()
    shapes = {shape.relation.name: shape for shape in source.shapes()}
    chosen = tables or [table for table, shape in shapes.items() if shape.key]
    for table in chosen:
        if table not in shapes:
            raise ConfigInvalid(f"cannot compare table {table!r}: source {name!r} has none")
        if not shapes[table].key:
            raise ConfigInvalid(
                f"cannot compare table {table!r}: it has no key that tells its rows apart"
            )
    folder = settings.data_dir / "spool" / name
    folder.mkdir(parents=True, exist_ok=True)
    for table in chosen:
        shape = shapes[table]
        fit = contracts.fit(name, shape.relation)
        if fit is None or fit.mapper is None:
            raise ConfigInvalid(f"cannot compare table {table!r}: no contract fits it")
        mapping = contracts.contract(fit.subject, fit.version).mapping
        assert mapping is not None, "a contract that fits a table maps it"
        fields = {rule.column: rule.name for rule in mapping.fields}

        def told(what: str, done: int, total: int, table: str = table) -> None:
            progress(table, what, done, total)

        with closing(SqliteLastState(folder)) as state, closing(source.chunks()) as reader:
            yield TableComparison(
                name,
                shape,
                reader,
                log,
                state,
                ContractRowEvents(name, shape, fit.mapper, fields),
                log_position=log_position,
                limits=snapshot_limits(settings, name),
                progress=told,
            ).run()
