"""The part of the API that tells what comparisons found."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from bridge.control.auth import Principal, principal_of
from bridge.control.shown_comparison import shown_rules, shown_sample, shown_standing
from bridge.eventlog.records.access_book import AccessBook
from bridge.gateway.comparison.desk import ComparisonDesk

Who = Annotated[Principal, Depends(principal_of)]

_SAMPLES_MAX = 200


def comparison_routes(desk: ComparisonDesk, book: AccessBook) -> APIRouter:
    """Return the endpoints."""
    router = APIRouter(prefix="/api/comparisons")

    @router.get("")
    def comparisons(group: str | None = None) -> list[dict[str, Any]]:
        """Return the verdict on every route that has two sides."""
        return [shown_standing(standing) for standing in desk.standings(group)]

    @router.get("/{route}")
    def comparison(route: str) -> dict[str, Any]:
        """Return the verdict on one route, with its rules."""
        standing = desk.standing(route)
        return {**shown_standing(standing), "rules_given": shown_rules(standing)}

    @router.get("/{route}/samples")
    def samples(
        route: str, who: Who, difference: str | None = None, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Return samples of differences, newest first; values are redacted."""
        found = desk.store.samples(
            route=route, difference=difference, count_max=max(1, min(limit, _SAMPLES_MAX))
        )
        book.read(who.actor, "compare-samples", found=len(found), query={"route": route})
        return [shown_sample(sample) for sample in found]

    return router
