"""The only module that names both rooms and adapters: settings in, running parts out."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from bridge.eventlog.ports import EventLogStore
from bridge.gateway.routes.cohort_unit import undealt
from bridge.gateway.routes.route import Route
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer
from bridge.model.pseudonym import Pseudonyms
from bridge.model.stage import GroupState
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.journal_opening import (
    Desk,
    Journal,
    LocalReplicas,
    Replicas,
    open_board,
    open_desk,
    open_journal,
)
from bridge.runtime.wiring.log_opening import STATE_FILE, made, open_event_log, open_signer
from bridge.runtime.wiring.pseudonym_key import load_pseudonyms
from bridge.runtime.wiring.routes_in_force import RoutesInForce, TwoSidedGroups
from bridge.storage.generation import Generation
from bridge.storage.sink_cursors import SqliteSinkCursors
from bridge.switching.switchboard import Switchboard

# Each role and each command opens some of the stores: the others are imported when asked for.
if TYPE_CHECKING:
    from bridge.capture.mapping.last_values import LastValues
    from bridge.contracts.contract_set import ContractSet
    from bridge.eventlog.signing.signer import Signer
    from bridge.gateway.comparison.desk import ComparisonDesk
    from bridge.runtime.wiring.keeping import Keeping
    from bridge.storage.journal.postgres_replicas import PostgresReplicas
    from bridge.storage.reconciliation.sqlite import SqliteFindingStore
    from bridge.storage.sqlite_snapshot_requests import SqliteSnapshotRequests

FINDINGS_FILE: Final = "reconciliation.db"


class Stores:
    """The gateway's own stores, opened when first asked for and closed together."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stack = ExitStack()
        self._event_log: EventLogStore | None = None
        self._comparisons: ComparisonDesk | None = None
        self._findings: SqliteFindingStore | None = None
        self._desk: Desk | None = None
        self._journal: Journal | None = None
        self._generation: Generation | PostgresReplicas | None = None
        self._sink_cursors: SqliteSinkCursors | None = None
        self._signer: Signer | None = None
        self._keeping: Keeping | None = None
        self._routes: RoutesInForce | None = None

    @property
    def run_dir(self) -> Path:
        """Where locks, run files and the generation file are."""
        return made(self.settings.data_dir / "run")

    def event_log(self) -> EventLogStore:
        """Return the event log; one that lacks what was signed or published takes no appends."""
        if self._event_log is None:
            self._event_log = open_event_log(self.settings)
            self._stack.callback(self._event_log.close)
        return self._event_log

    def desk(self) -> Desk:
        """Return the write journal as a person, the switchboard and the sequencer use it."""
        if self._desk is None:
            self._desk = open_desk(self.settings)
            self._stack.callback(self._desk.close)
            self._desk.ensure_groups(sorted({route.group for route in self.routes()}))
        return self._desk

    def journal(self) -> Journal:
        """Return the write journal as a gateway worker and the replayer use it."""
        if self._journal is None:
            self.desk()  # Makes the groups known before a write asks for theirs.
            self._journal = open_journal(self.settings)
            self._stack.callback(self._journal.close)
        return self._journal

    def generation(self) -> "Generation | PostgresReplicas":
        """Return the shared generation counter."""
        if self._generation is None:
            self._generation = open_board(self.settings, self.run_dir)
            self._stack.callback(self._generation.close)
        return self._generation

    def replicas(self) -> Replicas:
        """Return who is alive: on this machine, or on all that share a journal."""
        board = self.generation()
        return LocalReplicas(self.run_dir) if isinstance(board, Generation) else board

    def sink_cursors(self) -> SqliteSinkCursors:
        """Return the book of sink cursors."""
        if self._sink_cursors is None:
            self._sink_cursors = SqliteSinkCursors(made(self.settings.data_dir) / STATE_FILE)
            self._stack.callback(self._sink_cursors.close)
        return self._sink_cursors

    def last_values(
        self, source: str, contracts: "ContractSet", observer: Observer
    ) -> "LastValues | None":
        """Return the last known values of `source`, or None when no contract asks for them."""
        mappings = contracts.mappings(source)
        if not any(mapping.refill for mapping in mappings):
            return None
        from bridge.capture.mapping.last_values import LastValues
        from bridge.storage.sqlite_last_values import SqliteLastValues

        store = SqliteLastValues(made(self.settings.data_dir) / f"last-values-{source}.db")
        self._stack.callback(store.close)
        return LastValues(source, mappings, store, observer=observer)

    def snapshot_requests(self, source: str) -> "SqliteSnapshotRequests":
        """Return what people asked of the reading of `source`."""
        from bridge.runtime.wiring.reading import open_requests

        requests = open_requests(self.settings, source)
        self._stack.callback(requests.close)
        return requests

    def signer(self) -> "Signer":
        """Return the signer of checkpoints; makes its key on first use."""
        if self._signer is None:
            self._signer = open_signer(self.settings)
        return self._signer

    def pseudonyms(self) -> Pseudonyms:
        """Return what names entities in leaves; makes its key on first use."""
        folder = made(self.settings.data_dir / "keys")
        return load_pseudonyms(folder / "pseudonym.key")

    def keeping(self) -> "Keeping":
        """Return the keys of persons' data; nothing is made before it is needed."""
        if self._keeping is None:
            from bridge.runtime.wiring.keeping import Keeping

            self._keeping = Keeping(made(self.settings.data_dir), self.pseudonyms())
            self._stack.callback(self._keeping.close)
        return self._keeping

    def routes(self) -> tuple[Route, ...]:
        """Return the routes that the gateway works by; those of its files before it ever ran."""
        return self.routes_in_force().routes()

    def routes_in_force(self) -> RoutesInForce:
        """Return what knows which routes the gateway works by."""
        if self._routes is None:
            self._routes = RoutesInForce(self.settings.data_dir, self.gateway_settings())
        return self._routes

    def gateway_settings(self) -> GatewaySettings:
        """Return the gateway section; raises `ConfigInvalid` without one."""
        if self.settings.gateway is None:
            raise ConfigInvalid("cannot do this: the settings have no gateway section")
        return self.settings.gateway

    def group_states(self) -> Sequence[GroupState]:
        """Return where the groups of the route files stand."""
        known = {route.group for route in self.routes()}
        return [state for state in self.desk().groups() if state.group in known]

    def switchboard(self, observer: Observer | None = None) -> Switchboard:
        """Return the one path by which stages change."""
        two_sided = TwoSidedGroups(self.routes)
        return Switchboard(
            store=self.desk(),
            board=self.generation(),
            two_sided=two_sided,
            undealt=lambda: undealt(self.routes()),
            observer=observer,
        )

    def comparisons(self) -> "ComparisonDesk":
        """Return what comparisons came to, as people ask about it."""
        if self._comparisons is None:
            from bridge.gateway.comparison.desk import ComparisonDesk
            from bridge.runtime.wiring.shadowing import open_comparisons

            store = open_comparisons(self.settings)
            self._stack.callback(store.close)
            self._comparisons = ComparisonDesk(store, self.routes)
        return self._comparisons

    def findings(self) -> "SqliteFindingStore":
        """Return what reconciliation found."""
        if self._findings is None:
            from bridge.storage.reconciliation.sqlite import SqliteFindingStore

            self._findings = SqliteFindingStore(made(self.settings.data_dir) / FINDINGS_FILE)
            self._stack.callback(self._findings.close)
        return self._findings

    def close(self) -> None:
        """Close what was opened."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
