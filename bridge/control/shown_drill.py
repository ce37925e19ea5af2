"""Drills as people read them."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from bridge.gateway.drill.drill import Drill
from bridge.gateway.drill.tally import Tally


def shown_breaker(drill: Drill, tallies: Sequence[Tally]) -> dict[str, Any]:
    """Return when the cohort's breakers changed; each process has its own."""
    opened = [at for each in tallies for at, state in each.breaker if state == "open"]
    closed = [at for each in tallies for at, state in each.breaker if state == "closed"]
    return {
        "opened": len(opened),
        "first_opened_after_s": round(min(opened) - drill.started_at, 3) if opened else None,
        "closed_again": len(closed),
    }


def shown_process(tally: Tally) -> dict[str, Any]:
    """Return when and why a drill ended in one process."""
    ended = None if tally.ended_at is None else shown_time(tally.ended_at)
    return {"process": tally.process, "ended": ended, "why": tally.ended_why or None}


def shown_time(at: float) -> str:
    """Return a time (seconds since 1970) as people and programs read it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def lines_of(report: dict[str, Any]) -> Iterator[str]:
    """Yield a report as a person reads it."""
    cohort, breaker, writes = report["cohort"], report["breaker"], report["writes"]
    state = f"on, {report['left_s']:.0f} s left" if report["on"] else "over"
    yield (
        f"drill {report['drill']} ({state}): {report['fault']} at {report['side']} of group "
        f"{report['group']!r}"
    )
    touched = ", ".join(f"{count:,} {name}" for name, count in cohort["touched"].items())
    yield f"touched: {touched or 'nothing yet'}"
    yield (
        f"clients saw {cohort['errors']:,} errors; the other side answered "
        f"{sum(cohort['fell_back'].values()):,} reads in its place"
    )
    latency = cohort["latency_ms"]
    if latency["max"] is not None:
        yield (
            f"latency: p50 ≤ {latency['p50']} ms, p99 ≤ {latency['p99']} ms, "
            f"longest {latency['max']} ms"
        )
    if breaker["opened"]:
        yield (
            f"breaker opened {breaker['opened']} times, first after "
            f"{breaker['first_opened_after_s']} s; closed again {breaker['closed_again']} times"
        )
    else:
        yield "breaker did not open"
    back = report["rollback"]
    if back is not None:
        yield (
            f"switched to {back['to']} after {back['after_s']} s, in force on "
            f"{back['workers']} workers after {back['in_force_ms']} ms"
        )
    if writes["drained"]:
        yield "no write is waiting or lost: every lane is drained"
    else:
        yield (
            f"{writes['waiting']:,} writes wait for the other side, {writes['to_decide']:,} "
            f"need a decision"
        )
