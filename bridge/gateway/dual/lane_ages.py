"""How old the backlog of a group may be, by its routes' limits."""

from collections.abc import Iterable

from bridge.gateway.routes.route import Route
from bridge.gateway.routes.sections.dual import Ages


def ages_of(routes: Iterable[Route]) -> dict[str, Ages]:
    """Return each group's limits: of each the smallest that one of its writing routes has."""
    found: dict[str, Ages] = {}
    for route in routes:
        if not route.writes or len(route.upstreams) < 2:
            continue
        ages, known = route.dual.ages, found.get(route.group)
        if known is not None:
            ages = Ages(
                warn_s=min(known.warn_s, ages.warn_s),
                guardrail_s=min(known.guardrail_s, ages.guardrail_s),
                dead_s=min(known.dead_s, ages.dead_s),
            )
        found[route.group] = ages
    return found


def age_alarm(ages: Ages | None, oldest_s: float) -> str:
    """Return `ok`, `warn`, `guardrail` or `dead` for the oldest write of a backlog."""
    limits = ages or Ages()
    if oldest_s >= limits.dead_s:
        return "dead"
    if oldest_s >= limits.guardrail_s:
        return "guardrail"
    return "warn" if oldest_s >= limits.warn_s else "ok"
