"""The API: status, groups, switches, writes that need a person, metrics."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Response

from bridge import __version__
from bridge.control.auth import token_check
from bridge.control.bodies import (
    Decision,
    IdPairsBody,
    LanesBody,
    ResolveBody,
    RollbackBody,
    SwitchBody,
)
from bridge.control.names import (
    group_named,
    stage_named,
    write_named,
    write_state_named,
)
from bridge.control.problems import install_problem_handler
from bridge.control.shown import shown_report, shown_write
from bridge.gateway.ports import WriteDesk
from bridge.switching.switchboard import Switchboard


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlParts:
    """What the API acts on. Endpoints are blocking and run in the server's bounded thread pool."""

    status: Callable[[], dict[str, Any]]
    metrics: Callable[[], bytes]
    switchboard: Switchboard | None
    """None when the deployment has no gateway."""
    desk: WriteDesk | None
    token: str | None


def create_app(parts: ControlParts) -> FastAPI:
    """Return the API as an ASGI application."""
    app = FastAPI(title="Legacy Bridge", version=__version__, docs_url="/api/docs")
    install_problem_handler(app)

    @app.get("/health")
    def health() -> dict[str, str]:
        """Say that this process answers; nothing about the other roles."""
        return {"status": "ok", "version": __version__}

    guarded = APIRouter(dependencies=[Depends(token_check(parts.token))])

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
        guarded.include_router(_write_routes(parts.desk))
    app.include_router(guarded)
    return app


def _group_routes(board: Switchboard, desk: WriteDesk) -> APIRouter:
    router = APIRouter(prefix="/api/groups")

    def known(group: str) -> None:
        group_named(group, board.groups())

    of_group = APIRouter(prefix="/{group}", dependencies=[Depends(known)])

    @router.get("")
    def groups() -> list[dict[str, Any]]:
        """Return where every route group stands."""
        return [
            {
                "group": state.group,
                "stage": state.stage.value,
                "epoch": state.epoch,
                "lanes_held": state.lanes_held,
            }
            for state in board.groups()
        ]

    @of_group.post("/switch")
    def switch(group: str, body: SwitchBody) -> dict[str, Any]:
        """Move a group to another stage."""
        report = board.switch(
            group,
            stage_named(body.to),
            actor=body.actor,
            reason=body.reason,
            expected_epoch=body.expected_epoch,
        )
        return shown_report(report)

    @of_group.post("/rollback")
    def rollback(group: str, body: RollbackBody) -> dict[str, Any]:
        """Take a group back to an earlier stage."""
        report = board.rollback(
            group, to=stage_named(body.to), actor=body.actor, reason=body.reason
        )
        return shown_report(report)

    @of_group.post("/lanes")
    def lanes(group: str, body: LanesBody) -> dict[str, Any]:
        """Hold or resume the replay to the other side."""
        act = board.hold_lanes if body.held else board.resume_lanes
        state = act(group, actor=body.actor, reason=body.reason)
        return {"group": state.group, "lanes_held": state.lanes_held}

    @of_group.post("/ids")
    def ids(group: str, body: IdPairsBody) -> dict[str, int]:
        """Record known pairs of ids."""
        return {"new": desk.import_ids(group, body.entity, body.pairs)}

    router.include_router(of_group)
    return router


def _write_routes(desk: WriteDesk) -> APIRouter:
    router = APIRouter(prefix="/api/writes")

    def known(intent_id: str) -> None:
        write_named(intent_id, desk)

    of_write = APIRouter(prefix="/{intent_id}", dependencies=[Depends(known)])

    @router.get("")
    def writes(
        group: str | None = None, state: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return writes in a state; without one, those that need a decision."""
        found = desk.list_writes(
            group=group,
            state=write_state_named(state) if state else None,
            count_max=max(1, min(limit, 10_000)),
        )
        return [shown_write(write) for write in found]

    @router.get("/{intent_id}")
    def show(intent_id: str) -> dict[str, Any]:
        """Return one write, without bodies and header values."""
        return shown_write(write_named(intent_id, desk))

    @of_write.post("/resolve")
    def resolve(intent_id: str, body: ResolveBody) -> dict[str, str]:
        """Say how a write in doubt ended."""
        outcome = write_state_named(body.outcome)
        write_named(intent_id, desk)
        desk.resolve(intent_id, outcome, actor=body.actor, reason=body.reason, ids=body.ids)
        return {"intent_id": intent_id, "outcome": body.outcome}

    @of_write.post("/replay")
    def replay(intent_id: str, body: Decision) -> dict[str, str]:
        """Try a parked write once more."""
        desk.replay(intent_id, actor=body.actor, reason=body.reason)
        return {"intent_id": intent_id}

    @of_write.post("/skip")
    def skip(intent_id: str, body: Decision) -> dict[str, str]:
        """Let the other side go on without a parked write."""
        desk.skip(intent_id, actor=body.actor, reason=body.reason)
        return {"intent_id": intent_id}

    router.include_router(of_write)
    return router
