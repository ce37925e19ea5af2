"""The part of the API that tells what reconciliation found."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from bridge.control.auth import Principal, principal_of
from bridge.control.shown_reconciliation import shown_bypass, shown_finding, shown_progress
from bridge.eventlog.records.access_book import AccessBook
from bridge.gateway.reconciliation.findings import FindingState
from bridge.gateway.reconciliation.ports import FindingStore
from bridge.model.errors import ConfigInvalid

Who = Annotated[Principal, Depends(principal_of)]

_FINDINGS_MAX = 1_000


def reconciliation_routes(findings: FindingStore, book: AccessBook) -> APIRouter:
    """Return the endpoints; a repair is ordered at the shell, where its dry run is read first."""
    router = APIRouter(prefix="/api/reconciliation")

    @router.get("")
    def standing() -> dict[str, Any]:
        """Return where the walks stand and how many findings there are."""
        return {
            "walks": [shown_progress(walk) for walk in findings.progress()],
            "findings": [
                {"group": group, "entity": entity, "state": state.value, "count": count}
                for group, entity, state, count in findings.counts()
            ],
        }

    @router.get("/findings")
    def found(
        who: Who, group: str | None = None, state: str | None = None, limit: int = 100
    ) -> list[dict[str, Any]]:
        """Return entities that differ, newest first; never what they hold."""
        wanted = None if state is None else _state_named(state)
        count_max = max(1, min(limit, _FINDINGS_MAX))
        listed = findings.findings(group=group, state=wanted, count_max=count_max)
        query = {"state": state, "limit": count_max}
        book.read(who.actor, "reconcile-list", found=len(listed), query=query)
        return [shown_finding(one) for one in listed]

    @router.get("/bypasses")
    def bypasses(who: Who, group: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Return what was written past the gateway, by table and hour."""
        count_max = max(1, min(limit, _FINDINGS_MAX))
        listed = findings.bypasses(group=group, count_max=count_max)
        query = {"limit": count_max}
        book.read(who.actor, "reconcile-bypasses", found=len(listed), query=query)
        return [shown_bypass(one) for one in listed]

    return router


def _state_named(text: str) -> FindingState:
    try:
        return FindingState(text)
    except ValueError as exc:
        known = ", ".join(state.value for state in FindingState)
        raise ConfigInvalid(f"no state of findings is called {text!r}; known: {known}") from exc
