"""`routes`: look at route files, ask what they do with a request, and put them in force."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.cli.route_checks import check_folder
from bridge.cli.route_force import force
from bridge.cli.route_reference import reference
from bridge.cli.route_request import explain_request, shown_explanation
from bridge.gateway.routes.differences import RouteChange, changes, shown
from bridge.gateway.routes.loader import load_routes
from bridge.gateway.routes.route_file import RouteFile, RouteSections
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.route_plans import RoutePlan, RoutePlans, RoutesApplied
from bridge.runtime.wiring.routes_in_force import RoutesInForce
from bridge.runtime.wiring.stores import Stores

app = typer.Typer(help="Route files: check, explain, plan and apply them.", no_args_is_help=True)

app.command()(force)

SCHEMA_ID = "https://legacy-bridge.invalid/schema/routes.json"

AcceptRisks = Annotated[
    bool, typer.Option("--accept-risks", help="Apply although a risk blocks it; it is recorded.")
]
InForce = Annotated[
    bool, typer.Option("--in-force", help="Of the routes in force, not of the edited files.")
]


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="routes")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a route file, for editors."""
    found = RouteFile.model_json_schema(by_alias=True)
    entry = found["$defs"]["RouteEntry"]["properties"]
    for name, field in entry.items():
        if "$ref" in field and name in RouteSections.model_fields:
            # A route takes nothing of the file's section; YAML 1.1 reads `off` as false.
            field["anyOf"] = [{"$ref": field.pop("$ref")}, {"enum": [False, "off"]}]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID, **found}


@app.command("schema")
def print_schema(
    markdown: Annotated[
        bool, typer.Option("--markdown", help="As a table of all keys, for people.")
    ] = False,
) -> None:
    """Print the JSON Schema of route files, for editors."""
    if markdown:
        typer.echo(reference(schema()), nl=False)
    else:
        typer.echo(json.dumps(schema(), indent=2, ensure_ascii=False))


@app.command("list")
def list_routes(
    in_force: InForce = False, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False
) -> None:
    """Show all routes; their order means nothing."""
    with Stores(load_settings(config)) as stores:
        known = stores.routes_in_force()
        routes = known.routes() if in_force else load_routes(known.edited, known.upstreams)
    rows = [
        (
            route.route_id,
            route.group,
            ",".join(method.decode() for method in route.methods) or "any",
            route.host or "any",
            route.path,
            "writes" if route.writes else "reads",
            "" if route.key is None else f"{route.key.place.value} {route.key.name}",
            ", ".join(f"{side.value}: {name}" for side, name in route.upstreams.items()),
        )
        for route in routes
    ]
    if as_json:
        print_json([shown(route) for route in routes])
        return
    columns = ("id", "group", "methods", "host", "path", "data", "key", "sides")
    print_rows("Routes", columns, rows)


@app.command()
def check(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Look for faults in the edited files, and run their samples; exits with 1 for a fault."""
    gateway = _gateway(config)
    found = check_folder(gateway.edited, gateway.upstreams)
    if as_json:
        print_json([finding._asdict() for finding in found])
    else:
        print_rows("Findings", ("kind", "where", "what"), [tuple(each) for each in found])
    if any(each.kind == "fault" for each in found):
        raise typer.Exit(1)


@app.command()
def explain(
    method: Annotated[str, typer.Argument(help="e.g. GET")],
    url: Annotated[str, typer.Argument(help="Path with query, or a whole URL.")],
    header: Annotated[
        list[str] | None, typer.Option("--header", "-H", help="'Name: value'; may be repeated.")
    ] = None,
    body_file: Annotated[
        Path | None, typer.Option(help="The request's body.", dir_okay=False)
    ] = None,
    in_force: InForce = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Say what would become of one request: which route, stage, side, and why; sends nothing."""
    body = b"" if body_file is None else _content(body_file)
    with Stores(load_settings(config)) as stores:
        known = stores.routes_in_force()
        routes = known.routes() if in_force else load_routes(known.edited, known.upstreams)
        states = stores.group_states()
        facts = explain_request(
            routes,
            states,
            method=method,
            url=url,
            headers=header or [],
            body=body,
            ids=stores.journal(),
            journal=stores.journal(),
        )
    if as_json:
        print_json(facts)
    else:
        console.print(shown_explanation(facts), highlight=False, markup=False, soft_wrap=True)
    if "refused" in facts:
        raise typer.Exit(1)


@app.command()
def diff(
    before: Annotated[
        Path | None, typer.Argument(help="Folder; the routes in force when absent.")
    ] = None,
    after: Annotated[
        Path | None, typer.Argument(help="Folder; the edited files when absent.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what the edited files change, by what they mean; exits with 1 when there is anything."""
    with Stores(load_settings(config)) as stores:
        known = stores.routes_in_force()
        old = known.routes() if before is None else load_routes(before, known.upstreams)
        new = load_routes(after or known.edited, known.upstreams)
    found = changes(old, new)
    if as_json:
        print_json([shown_change(change) for change in found])
    else:
        _print_changes(found)
    if found:
        raise typer.Exit(1)


@app.command()
def plan(
    back: Annotated[bool, typer.Option("--back", help="Of going back instead.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show what applying the edited files would change and risk, and the plan's id."""
    with Stores(load_settings(config)) as stores:
        plans = RoutePlans(stores)
        found = plans.plan_back() if back else plans.plan()
    if as_json:
        print_json(shown_plan(found))
        return
    _print_changes(found.changes)
    print_rows(
        "Risks",
        ("group", "blocks", "what"),
        [(risk.group, "yes" if risk.blocks else "no", risk.text) for risk in found.risks],
    )
    if found.is_empty:
        console.print("the gateway works by these files already")
    else:
        console.print(f"plan [bold]{found.plan_id}[/bold]")


@app.command()
def apply(
    reason: Reason,
    ticket: Ticket,
    plan_id: Annotated[str | None, typer.Argument(help="As `routes plan` says it.")] = None,
    back: Annotated[bool, typer.Option("--back", help="Go back to the routes before.")] = False,
    accept_risks: AcceptRisks = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Put planned routes in force on every worker, without dropping a request; or go back."""
    if (plan_id is None) is not back:
        raise ConfigInvalid("cannot apply routes: name a plan as `routes plan` says it, or --back")
    word = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores:
        plans = RoutePlans(stores)
        if plan_id is None:
            done = plans.apply_back(word, accept_risks=accept_risks)
        else:
            done = plans.apply(plan_id, word, accept_risks=accept_risks)
    _print_applied(done, as_json)


def shown_change(change: RouteChange) -> dict[str, Any]:
    """Return a change as JSON values."""
    return {
        "change": change.kind.value,
        "group": change.route.group,
        "route": change.route.route_id,
        "path": change.route.path,
        "takes_other_requests": change.takes_other_requests,
        "fields": [each._asdict() for each in change.fields],
    }


def shown_plan(found: RoutePlan) -> dict[str, Any]:
    """Return a plan as JSON values."""
    return {
        "plan": found.plan_id,
        "base": found.base,
        "target": found.target,
        "changes": [shown_change(change) for change in found.changes],
        "risks": [risk._asdict() for risk in found.risks],
    }


def _print_changes(found: Any) -> None:
    print_rows(
        "Changes",
        ("route", "group", "change", "requests", "what"),
        [
            (
                change.route.route_id,
                change.route.group,
                change.kind.value,
                "may go elsewhere" if change.takes_other_requests else "as before",
                "; ".join(
                    f"{each.field}: {_short(each.before)} → {_short(each.after)}"
                    for each in change.fields
                )
                or change.route.path,
            )
            for change in found
        ],
    )


def _short(value: Any) -> str:
    return "nothing" if value in (None, {}, []) else json.dumps(value, ensure_ascii=False)


def _print_applied(done: RoutesApplied, as_json: bool) -> None:
    if as_json:
        print_json({**shown_plan(done.plan), "workers": done.workers, "took_ms": done.took_ms})
    elif done.workers:
        console.print(
            f"routes {done.plan.target[:12]} are in force:"
            f" {done.workers} workers follow after {done.took_ms:.0f} ms"
        )
    else:
        console.print(f"routes {done.plan.target[:12]} are in force from the next start on")


def _gateway(config: Path) -> RoutesInForce:
    with Stores(load_settings(config)) as stores:
        return stores.routes_in_force()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigInvalid(f"cannot read {str(path)!r}: {exc.strerror}") from exc
