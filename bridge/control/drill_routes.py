"""The part of the API that begins, stops and reports drills."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import Field

from bridge.control.auth import Principal, principal_of
from bridge.control.bodies import Decision, Name
from bridge.control.drills import DrillDesk, DrillOrder
from bridge.gateway.drill.drill import KEYS_MAX

Who = Annotated[Principal, Depends(principal_of)]


class DrillBody(Decision):
    """A drill."""

    group: Name
    fault: Name
    lasts: Name
    side: Name = "modern"
    route: Name | None = None
    keys: Annotated[list[Name], Field(max_length=KEYS_MAX)] = Field(default_factory=list)
    header: Annotated[str, Field(max_length=300)] | None = None
    share_percent: float = 0.0
    reads: bool = True
    replays: bool = True
    writes: bool = False
    force: bool = False


def drill_routes(desk: DrillDesk) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(prefix="/api/drills")

    @router.get("")
    def drills() -> list[dict[str, Any]]:
        """Return every drill that is kept, newest first; never a key or a marker's value."""
        return desk.list_drills()

    @router.get("/{drill_id}")
    def report(drill_id: str) -> dict[str, Any]:
        """Return what a drill came to."""
        return desk.report(drill_id)

    @router.post("")
    def start(body: DrillBody, who: Who) -> dict[str, Any]:
        """Begin a drill."""
        asked = body.model_dump(exclude={"actor", "reason", "ticket", "keys"})
        order = DrillOrder(**asked, keys=tuple(body.keys))
        drill = desk.start(order, who.warrant(body.actor, body.reason, body.ticket))
        return {"drill": drill.drill_id, "ends_at": drill.ends_at}

    @router.post("/{drill_id}/stop")
    def stop(drill_id: str, body: Decision, who: Who) -> dict[str, Any]:
        """End a drill now."""
        (stopped,) = desk.stop(drill_id, who.warrant(body.actor, body.reason, body.ticket))
        return {"drill": stopped.drill_id, "stopped_at": stopped.stopped_at}

    return router
