"""Wire reconciliation: both sides, the journal, the findings, and the event log."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.entity_state import Status
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.replay_attempt import Attempts
from bridge.gateway.reconciliation.after_writes import WriteSampler
from bridge.gateway.reconciliation.captured import CapturedReader
from bridge.gateway.reconciliation.checking import BY_TABLE, Checker
from bridge.gateway.reconciliation.patrol import Patrol
from bridge.gateway.reconciliation.repairing import Repairer
from bridge.gateway.reconciliation.rules import EntityRule, entity_rules
from bridge.gateway.reconciliation.scrubbing import Scrubber
from bridge.gateway.reconciliation.sides import Sides
from bridge.gateway.reconciliation.tables import TableRow, TableSides
from bridge.gateway.upstream_ports import Upstream
from bridge.model.errors import StorageUnavailable
from bridge.model.observer import Observer
from bridge.model.stage import Stage
from bridge.runtime.wiring.gateway_edge import clients, open_pools, replay_headers
from bridge.runtime.wiring.search import search_desk
from bridge.runtime.wiring.stores import Stores
from bridge.storage.reconciliation.sqlite import SqliteFindingStore

# The follower takes in what is appended within tenths of a second.
_INDEX_WAIT_S: Final = 1.0
_NOT_JOURNALLED: Final = frozenset({Stage.LEGACY, Stage.SHADOW, Stage.COMPLETE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """Everything that reconciles."""

    checker: Checker
    scrubber: Scrubber
    repairer: Repairer
    patrol: Patrol


class LogTables:
    """`TableReader` over the event log and its index."""

    def __init__(self, desk: SearchDesk) -> None:
        self._desk = desk

    def row(self, subject: str, key: str) -> TableRow:
        """Return the row whose key a client calls `key`, by all that the log has."""
        entity = self._desk.entity(subject, key)
        try:
            self._desk.wait(wait_s=_INDEX_WAIT_S)
            state = self._desk.history(entity, steps_max=1).state
        except StorageUnavailable:
            return TableRow(False, None)
        if state.status in (Status.DELETED, Status.ABSENT):
            return TableRow(True, None)
        fields = {name: orjson.loads(text) for name, text in state.fields.items()}
        return TableRow(state.is_certain, fields)


def known_entities(stores: Stores) -> list[EntityRule]:
    """Return the entities of the routes in force."""
    return entity_rules(stores.routes())


def open_upstreams(stores: Stores, observer: Observer, stack: ExitStack) -> dict[str, Upstream]:
    """Return every upstream of the settings, closed with `stack`; from a running event loop."""
    gateway = stores.gateway_settings()
    return clients(open_pools(gateway, observer, stack), gateway)


def reconciliation(
    stores: Stores,
    findings: SqliteFindingStore,
    upstreams: Mapping[str, Upstream],
    observer: Observer,
    owner: str,
) -> Reconciliation:
    """Return what reconciles, over `upstreams`; `owner` names this process in the journal."""
    journal, desk = stores.journal(), stores.desk()
    forwarder = Forwarder(journal, upstreams)
    credentials = replay_headers(stores.gateway_settings())
    sides = Sides(forwarder, Attempts(forwarder, credentials=credentials, now=_now))
    checker = Checker(sides=sides, journal=journal, groups=journal, store=findings, now=_now)
    captured = tables = None
    if stores.settings.sources:
        tables = Checker(
            sides=TableSides(sides, LogTables(search_desk(stores))),
            journal=journal,
            groups=journal,
            store=findings,
            now=_now,
            origins=BY_TABLE,
        )
        captured = CapturedReader(
            log=stores.event_log(),
            rules=lambda: known_entities(stores),
            lane=sides.lane,
            writes=desk,
            since=lambda group: journalled_since(stores, group),
            store=findings,
            now=_now,
        )
    scrubber = Scrubber(checker=checker, store=findings, ids=desk, now=_now, tables=tables)
    patrol = Patrol(
        rules=lambda: known_entities(stores),
        checker=checker,
        scrubber=scrubber,
        sampler=WriteSampler(checker, desk),
        captured=captured,
        observer=observer,
    )
    repairer = Repairer(checker=checker, journal=journal, store=findings, owner=owner, now=_now)
    return Reconciliation(checker=checker, scrubber=scrubber, repairer=repairer, patrol=patrol)


def journalled_since(stores: Stores, group: str) -> datetime | None:
    """Return since when the group's writes are journalled without a break; None: they are not."""
    began: datetime | None = None
    for record in stores.desk().history():
        switch = record.switch
        if switch.group != group:
            continue
        if switch.to_stage in _NOT_JOURNALLED:
            began = None
        elif began is None:
            began = switch.switched_at
    return began


def _now() -> datetime:
    return datetime.now(UTC)
