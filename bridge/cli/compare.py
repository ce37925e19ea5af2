"""`compare`: what the comparisons of both sides came to."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from bridge.cli import compare_again
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, reader, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.control.shown_comparison import shown_rules, shown_sample, shown_standing
from bridge.eventlog.records.access import record_access
from bridge.eventlog.records.attempt import recorded
from bridge.gateway.comparison.desk import ComparisonDesk, RouteStanding
from bridge.gateway.comparison.drift import RouteDrift
from bridge.model.entry import EntryKind
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

app = typer.Typer(help="Answers of both sides, compared.", no_args_is_help=True)
compare_again.add_to(app)

RouteId = Annotated[str, typer.Argument(help="A route's id, as `compare status` shows it.")]

_STYLES = {
    "match": "green",
    "mismatch": "bold red",
    "not-enough-data": "yellow",
    "wrong": "bold red",
    "open": "yellow",
    "noise": "dim",
    "none": "green",
    "conforms": "green",
    "drifts": "bold red",
    "legacy": "yellow",
    "modern": "bold red",
    "both": "bold red",
}


@app.command()
def status(
    group: Annotated[str | None, typer.Option(help="Only this route group.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show the verdict on every route that has two sides."""
    with _desk(config) as (_, desk):
        standings = desk.standings(group)
    if as_json:
        print_json([shown_standing(standing) for standing in standings])
        return
    print_rows(
        "Comparisons",
        ("route", "group", "verdict", "compared", "wrong", "wrong fields", "drift", "warnings"),
        [_row(standing) for standing in standings],
    )


@app.command()
def show(route: RouteId, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show one route: how often it was compared, field by field."""
    with _desk(config) as (_, desk):
        standing = desk.standing(route)
    told = shown_standing(standing)
    if as_json:
        print_json(told)
        return
    verdict = standing.verdict
    console.print(
        f"{route}: ", _coloured(verdict.agreement.value), f", {verdict.compared} compared", sep=""
    )
    console.print(
        f"wrong answers: {_share(verdict.at_least)} to {_share(verdict.at_most)} "
        f"(tolerance {_share(standing.route.comparison.tolerance)}, "
        f"{standing.route.comparison.confidence:.0%} sure at every look)"
    )
    sampled = "unknown" if verdict.sampled is None else _share(verdict.sampled)
    console.print(f"compared of all requests: {sampled}; not compared: {_counts(told['shed'])}")
    console.print(
        f"outcomes: {_counts(told['outcomes'])}; noise {verdict.noise}, flapping "
        f"{verdict.flapping}, not looked at again {verdict.unconfirmed}"
    )
    print_rows(
        "Fields",
        ("field", "state", "differs", "of itself", "confirmed", "at least", "how"),
        [
            (
                one.field,
                _coloured(one.state.value),
                f"{one.differs} of {verdict.compared}",
                f"{one.noisy} of {verdict.probes}",
                one.confirmed,
                _share(one.at_least),
                _counts(dict(one.kinds)),
            )
            for one in verdict.fields
        ],
    )
    print_rows(
        "Latency",
        ("side", "cohort", "answers", "p50", "p90", "p99"),
        [
            (
                one.side.value,
                one.cohort,
                one.count,
                _ms(one.p50_ms),
                _ms(one.p90_ms),
                _ms(one.p99_ms),
            )
            for one in verdict.latencies
        ],
    )
    print_rows(
        "Order of the calls",
        ("copy begins", "same", "different", "skew p50", "skew p99"),
        [
            (one.order, one.same, one.different, _ms(one.skew_p50_ms), _ms(one.skew_p99_ms))
            for one in verdict.orders
        ],
    )
    if standing.drift is not None:
        _print_drift(standing.drift)
    for warning in told["warnings"]:
        console.print(f"warning: {warning}", style="yellow", markup=False)


@app.command()
def rules(route: RouteId, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show a route's rules, who agreed to each, and what each one hid."""
    with _desk(config) as (_, desk):
        found = shown_rules(desk.standing(route))
    if as_json:
        print_json(found)
        return
    print_rows(
        f"Rules of {route}",
        ("rule", "kind", "where", "hid (answers)", "reviewed", "reason"),
        [
            (
                one["name"],
                one["kind"],
                ", ".join(map(str, one.get("at") or one.get("equal") or ())),
                Text(str(one["answers"]), style="yellow" if one["warned"] else ""),
                f"{one['reviewed_by']} {one['reviewed_on']}",
                one["reason"],
            )
            for one in found
        ],
    )


@app.command()
def samples(
    route: RouteId,
    sample: Annotated[str | None, typer.Option(help="Show this one whole, as JSON.")] = None,
    difference: Annotated[str | None, typer.Option(help="Only where this is part of it.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Compare each once more by the present rules.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=1_000)] = 20,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show samples of differences, without values that are not declared to be shown."""
    with _desk(config) as (stores, desk):
        if sample is not None:
            found = [desk.sample(sample)]
        else:
            found = list(desk.store.samples(route=route, difference=difference, count_max=limit))
        looked = {one.sample_id: desk.again(one) for one in found} if again else {}
        query = {"route": route, "limit": limit}
        record_access(
            stores.event_log(), reader(actor), "compare-samples", found=len(found), query=query
        )
    told = [shown_sample(one, looked.get(one.sample_id)) for one in found]
    if as_json or sample is not None:
        print_json(told[0] if sample is not None else told)
        return
    print_rows(
        f"Samples of {route}",
        ("sample", "difference", "finding", "status", "when", "by the present rules"),
        [
            (
                one["sample"],
                one["difference"],
                one["finding"],
                " / ".join(map(str, one["status"])),
                f"{datetime.fromtimestamp(one['made_at'], UTC):%Y-%m-%d %H:%M:%S}",
                _again(one),
            )
            for one in told
        ],
    )


@app.command()
def restart(
    route: RouteId,
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Begin a route's counts anew, for example after a defect of modern was mended."""
    with _desk(config) as (stores, desk):
        fields = {"route": route}
        word = warrant(actor, reason, ticket)
        tell = stores.desk().tell
        with recorded(tell, EntryKind.CONTROL, "compare-restart", word, fields=fields) as deed:
            desk.route(route)
            verdict = desk.standing(route).verdict
            deed.fields |= {"compared": verdict.compared, "verdict": verdict.agreement.value}
            desk.store.restart(route)
    console.print(f"comparisons of {route!r} begin anew")


@contextmanager
def _desk(config: Path) -> Iterator[tuple[Stores, ComparisonDesk]]:
    with Stores(load_settings(config)) as stores:
        yield stores, stores.comparisons()


def _row(standing: RouteStanding) -> tuple[object, ...]:
    verdict = standing.verdict
    warned = [one.name for one in verdict.rules if one.warned]
    return (
        standing.route.route_id,
        standing.route.group,
        _coloured(verdict.agreement.value),
        verdict.compared,
        f"{_share(verdict.at_least)} to {_share(verdict.at_most)}",
        ", ".join(verdict.wrong),
        "" if standing.drift is None else _coloured(standing.drift.verdict),
        Text(f"hide much: {', '.join(warned)}" if warned else "", style="yellow"),
    )


def _print_drift(drift: RouteDrift) -> None:
    documents = ", ".join(sorted(set(drift.documents.values())))
    console.print(f"drift from {documents}: ", _coloured(drift.verdict), sep="")
    print_rows(
        "Drift",
        ("who", "state", "checked", "drifted", "share"),
        [
            (
                one.who,
                _coloured(one.state.value),
                one.checked,
                one.drifted,
                f"{_share(one.at_least)} to {_share(one.at_most)}",
            )
            for one in drift.sides
        ],
    )
    print_rows(
        "Not as declared",
        ("rule", "place", "where", "request", "legacy", "modern"),
        [
            (one.rule, one.place, one.where, one.request, one.legacy, one.modern)
            for one in drift.findings
        ],
    )


def _again(told: dict[str, Any]) -> str:
    again = told.get("again")
    if again is None:
        return ""
    if again["equal"] is None:
        return "bodies not kept"
    return "equal" if again["equal"] else f"differs: {', '.join(again['fields'])}"


def _coloured(state: str) -> Text:
    return Text(state, style=_STYLES.get(state, ""))


def _share(part: float) -> str:
    return f"{part:.3%}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items()) or "none"


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="compare")
