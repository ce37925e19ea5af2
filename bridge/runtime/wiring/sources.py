"""Wire what looks at a source, sets it up and takes leave of it, by the source's kind."""

from adapters.postgres.inspection.inspection import PostgresInspection
from adapters.postgres.inspection.look import Capturing
from adapters.postgres.server import PostgresServer
from adapters.postgres.setup import PostgresSetup
from bridge.capture.polling.inspection import PollInspection
from bridge.capture.ports import SourceInspection, SourceSetup
from bridge.contracts.contract_set import ContractSet
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.runtime.configuration.settings import Settings, SourceSettings


def source_inspection(
    settings: Settings, name: str, contracts: ContractSet, *, dsn: str | None = None
) -> SourceInspection:
    """Return what looks at source `name`; through `dsn` instead of its own login, if given."""
    found = settings.source(name)
    if isinstance(found, PollingSettings):
        # Imported where it is needed: replicated sources do without SQLAlchemy.
        from bridge.runtime.wiring.polling import polling_source

        return PollInspection(polling_source(name, found), contracts.tables(name))
    source = source_settings(settings, name)
    capturing = postgres_capturing(source, name, contracts)
    return PostgresInspection(
        _server(dsn or source.dsn, capturing), capturing, writes=_writes(source)
    )


def source_setup(
    settings: Settings, name: str, contracts: ContractSet, *, dsn: str | None = None
) -> SourceSetup:
    """Return what sets up source `name` and takes leave of it; through `dsn`, if given."""
    source = source_settings(settings, name)
    capturing = postgres_capturing(source, name, contracts)
    return PostgresSetup(
        _server(dsn or source.dsn, capturing),
        capturing,
        reader=_server(source.dsn, capturing).application_name,
    )


def source_settings(settings: Settings, name: str) -> SourceSettings:
    """Return the settings of replicated source `name`; raises `ConfigInvalid` for any other."""
    return settings.replicated(name)


def postgres_capturing(source: SourceSettings, name: str, contracts: ContractSet) -> Capturing:
    """Return what is to be captured of a PostgreSQL source, and how."""
    return Capturing(
        slot=source.slot or f"bridge_{name}",
        publication=source.publication or f"bridge_{name}",
        tables=tuple(contracts.tables(name)),
        mapped=mapped_columns(name, contracts),
        no_identity=source.no_identity,
        failover=source.failover == "auto",
    )


def mapped_columns(name: str, contracts: ContractSet) -> dict[str, frozenset[str]]:
    """Return the columns of each table that its contract's newest version uses."""
    return {
        contract.mapping.table: frozenset(rule.column for rule in contract.mapping.fields)
        for contract in contracts.contracts()
        if contract.mapping is not None and contract.mapping.source == name
    }


def _writes(source: SourceSettings) -> list[str]:
    """Return what the settings ask to be changed in the source while capture runs."""
    limit = source.guard.drop_slot_bytes
    return [] if limit is None else [f"drop the slot when it keeps {limit:,} bytes of WAL"]


def _server(dsn: str, capturing: Capturing) -> PostgresServer:
    return PostgresServer(dsn, application_name=f"legacy-bridge {capturing.slot}")
