"""The API: status, groups, switches, writes that need a person, metrics."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Response

from bridge import __version__
from bridge.control.auth import Door, NamedToken, Principal, principal_of
from bridge.control.bodies import (
    Decision,
    IdPairsBody,
    LanesBody,
    ResolveBody,
    RollbackBody,
    SwitchBody,
)
from bridge.control.comparison_routes import comparison_routes
from bridge.control.decisions import WriteDecisions
from bridge.control.drill_routes import drill_routes
from bridge.control.drills import DrillDesk
from bridge.control.log_pages import LogPages, proof_routes, tile_routes
from bridge.control.log_routes import search_routes
from bridge.control.names import (
    stage_named,
    write_kind_named,
    write_named,
    write_state_named,
)
from bridge.control.problems import install_problem_handler
from bridge.control.reconciliation_routes import reconciliation_routes
from bridge.control.shown import shown_group, shown_report, shown_write
from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.records.access_book import AccessBook
from bridge.gateway.comparison.desk import ComparisonDesk
from bridge.gateway.dual.ports import WriteDesk
from bridge.gateway.reconciliation.ports import FindingStore
from bridge.model.warrant import Warrant
from bridge.switching.switchboard import Switchboard

Who = Annotated[Principal, Depends(principal_of)]


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlParts:
    """What the API acts on. Endpoints are blocking and run in the server's bounded thread pool."""

    status: Callable[[], dict[str, Any]]
    metrics: Callable[[], bytes]
    switchboard: Switchboard | None
    """None when the deployment has no gateway."""
    desk: WriteDesk | None
    book: AccessBook
    """Where reads and failed logins are recorded."""
    token: str | None = None
    """A token that everybody shares, who says in each request who acts."""
    tokens: Mapping[str, NamedToken] = field(default_factory=dict)
    log: LogPages | None = None
    """What is shown of the event log; None: nothing."""
    search: SearchDesk | None = None
    """What searches the event log and tells histories."""
    comparisons: ComparisonDesk | None = None
    """What comparisons of both sides came to."""
    findings: FindingStore | None = None
    """What reconciliation found."""
    drills: DrillDesk | None = None
    """What begins and reports drills."""


def create_app(parts: ControlParts) -> FastAPI:
    """Return the API as an ASGI application."""
    app = FastAPI(title="Legacy Bridge", version=__version__, docs_url="/api/docs")
    install_problem_handler(app)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Say that this process answers; nothing about the other roles."""
        return {"status": "ok", "version": __version__}

    door = Door(parts.token, parts.tokens, parts.book)
    guarded = APIRouter(dependencies=[Depends(door)])

    @guarded.get("/api/status")
    def status() -> dict[str, Any]:
        """Return what `legacy-bridge status --json` prints."""
        return parts.status()

    @guarded.get("/metrics")
    def metrics() -> Response:
        """Return the counts of all roles in Prometheus' text form."""
        return Response(parts.metrics(), media_type="text/plain; version=0.0.4; charset=utf-8")

    if parts.switchboard is not None and parts.desk is not None:
        guarded.include_router(_group_routes(parts.switchboard, parts.desk))
        guarded.include_router(_write_routes(parts.switchboard, parts.desk, parts.book))
    if parts.log is not None:
        guarded.include_router(proof_routes(parts.log, parts.book))
        if parts.log.tiles != "off":
            (app if parts.log.tiles == "open" else guarded).include_router(
                tile_routes(parts.log, parts.book)
            )
    if parts.search is not None:
        guarded.include_router(search_routes(parts.search, parts.book))
    if parts.comparisons is not None:
        guarded.include_router(comparison_routes(parts.comparisons, parts.book))
    if parts.findings is not None:
        guarded.include_router(reconciliation_routes(parts.findings, parts.book))
    if parts.drills is not None:
        guarded.include_router(drill_routes(parts.drills))
    app.include_router(guarded)
    return app


def _group_routes(board: Switchboard, desk: WriteDesk) -> APIRouter:
    router = APIRouter(prefix="/api/groups")
    decisions = WriteDecisions(desk, board.groups)

    @router.get("")
    def groups() -> list[dict[str, Any]]:
        """Return where every route group stands."""
        return [shown_group(state) for state in board.groups()]

    @router.post("/{group}/switch")
    def switch(group: str, body: SwitchBody, who: Who) -> dict[str, Any]:
        """Move a group to another stage."""
        report = board.switch(
            group,
            stage_named(body.to),
            _warrant(who, body),
            expected_epoch=body.expected_epoch,
            share_percent=body.share_percent,
        )
        return shown_report(report)

    @router.post("/{group}/rollback")
    def rollback(group: str, body: RollbackBody, who: Who) -> dict[str, Any]:
        """Take a group back to an earlier stage."""
        report = board.rollback(
            group,
            _warrant(who, body),
            to=stage_named(body.to),
            share_percent=body.share_percent,
        )
        return shown_report(report)

    @router.post("/{group}/lanes")
    def lanes(group: str, body: LanesBody, who: Who) -> dict[str, Any]:
        """Hold or resume the replay to the other side."""
        act = board.hold_lanes if body.held else board.resume_lanes
        state = act(group, _warrant(who, body))
        return {"group": state.group, "lanes_held": state.lanes_held}

    @router.post("/{group}/ids")
    def ids(group: str, body: IdPairsBody, who: Who) -> dict[str, int]:
        """Record known pairs of ids."""
        new = decisions.import_ids(group, body.entity, body.pairs, _warrant(who, body))
        return {"new": new}

    return router


def _write_routes(board: Switchboard, desk: WriteDesk, book: AccessBook) -> APIRouter:
    router = APIRouter(prefix="/api/writes")
    decisions = WriteDecisions(desk, board.groups)

    @router.get("")
    def writes(
        who: Who,
        group: str | None = None,
        state: str | None = None,
        lane: str | None = None,
        kind: str | None = None,
        limit: int = 100,
    ) -> list[dict[str, Any]]:
        """Return the writes that fit; without any of these, those that need a decision."""
        wanted = write_state_named(state) if state else None
        of_kind = write_kind_named(kind) if kind else None
        count_max = max(1, min(limit, 10_000))
        found = desk.list_writes(
            group=group, state=wanted, lane=lane, kind=of_kind, count_max=count_max
        )
        query = {
            "state": wanted and wanted.value,
            "kind": kind,
            "lane": bool(lane),
            "limit": count_max,
        }
        book.read(who.actor, "writes-list", found=len(found), query=query)
        return [shown_write(write) for write in found]

    @router.get("/{intent_id}")
    def show(intent_id: str, who: Who) -> dict[str, Any]:
        """Return one write, without bodies and header values."""
        found = write_named(intent_id, desk)
        query = {"intent": found.intent.intent_id}
        book.read(who.actor, "writes-show", found=1, query=query)
        return shown_write(found)

    @router.post("/{intent_id}/resolve")
    def resolve(intent_id: str, body: ResolveBody, who: Who) -> dict[str, str]:
        """Say how a write in doubt ended."""
        outcome = write_state_named(body.outcome)
        decisions.resolve(intent_id, outcome, _warrant(who, body), ids=body.ids)
        return {"intent_id": intent_id, "outcome": body.outcome}

    @router.post("/{intent_id}/replay")
    def replay(intent_id: str, body: Decision, who: Who) -> dict[str, str]:
        """Try a parked write once more."""
        decisions.replay(intent_id, _warrant(who, body))
        return {"intent_id": intent_id}

    @router.post("/{intent_id}/skip")
    def skip(intent_id: str, body: Decision, who: Who) -> dict[str, str]:
        """Let the other side go on without a parked write."""
        decisions.skip(intent_id, _warrant(who, body))
        return {"intent_id": intent_id}

    return router


def _warrant(who: Principal, body: Decision) -> Warrant:
    return who.warrant(body.actor, body.reason, body.ticket)
