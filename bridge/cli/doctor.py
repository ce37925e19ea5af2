"""`doctor`: look at the sources, and at what capture stands on, before anything is touched."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.text import Text

from bridge.capture.findings import Finding, Level, SetupStep, count_levels, worst
from bridge.cli.options import DEFAULT_CONFIG, ConfigPath
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.contracts.contract_set import ContractSet
from bridge.model.errors import BridgeError
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.preflight import preflight
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.sources import source_inspection

_STYLES = {
    Level.OK: "green",
    Level.NOTICE: "blue",
    Level.WARNING: "yellow",
    Level.ERROR: "bold red",
}
_WARNED = 1


def add_to(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command()(doctor)


def doctor(
    source: Annotated[
        list[str] | None, typer.Argument(help="Sources to look at; all without one.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Also print the SQL that setting up would run.")
    ] = False,
    problems_only: Annotated[
        bool, typer.Option("--problems", help="Leave out what is right.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="A warning, too, makes the exit code 1.")
    ] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Look at each source with no more than a login, and touch nothing.

    Exit code 0: capture can start. 78: it cannot, or would make the application's own statements
    fail. With --strict, 1: it can, and a warning wants attention.
    """
    settings = load_settings(config)
    names = source or sorted(settings.sources)
    for name in names:
        settings.source(name)
    contracts = contract_set(settings)
    looks = [_look(settings, name, contracts, dry_run=dry_run) for name in names]
    around = preflight(settings, sources=False)
    level = max(
        worst(finding for look in looks for finding in look.findings),
        Level.OK if all(found.ok for found in around) else Level.ERROR,
    )
    if as_json:
        print_json(
            {
                "level": level.word,
                "sources": [look.shown() for look in looks],
                "around": [{"what": f.what, "ok": f.ok, "message": f.message} for f in around],
            }
        )
    else:
        for look in looks:
            look.print(problems_only=problems_only)
        told = [f for f in around if not (problems_only and f.ok)]
        if told:
            print_rows(
                "Around",
                ("what", "", "found"),
                [
                    (f.what, Text("ok", "green") if f.ok else Text("error", "bold red"), f.message)
                    for f in told
                ],
            )
    if level is Level.ERROR:
        raise typer.Exit(CONFIG)
    raise typer.Exit(_WARNED if strict and level is Level.WARNING else 0)


class _Look:
    """What was found in one source."""

    def __init__(self, name: str, findings: list[Finding], steps: list[SetupStep] | None) -> None:
        self.name = name
        self.findings = findings
        self._steps = steps
        """None: not asked for."""

    def shown(self) -> dict[str, Any]:
        """Return it as JSON values."""
        shown: dict[str, Any] = {
            "source": self.name,
            "level": worst(self.findings).word,
            "counts": count_levels(self.findings),
            "findings": [shown_finding(finding) for finding in self.findings],
        }
        if self._steps is not None:
            shown["setup"] = [{"sql": step.sql, "why": step.why} for step in self._steps]
        return shown

    def print(self, *, problems_only: bool) -> None:
        """Print it as a table, then the fixes as SQL, which a table would break into pieces."""
        told = [f for f in self.findings if not (problems_only and f.level is Level.OK)]
        counts = ", ".join(f"{n} {word}" for word, n in count_levels(self.findings).items() if n)
        print_rows(
            f"Source {escape(self.name)}: {counts}",
            ("level", "scope", "what", "why", "fix"),
            [(Text(f.level.word, _STYLES[f.level]), f.scope, f.what, f.why, f.fix) for f in told],
        )
        fixes = [finding for finding in told if finding.sql]
        if fixes:
            console.print("[bold]SQL of the fixes[/bold] (for a person to judge and run):")
            print_script([SetupStep(sql=f.sql, why=f"{f.scope}: {f.what}") for f in fixes])
        if self._steps is not None:
            console.print("[bold]SQL that setting up would run[/bold]:")
            print_script(self._steps)


def shown_finding(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values."""
    return {
        "level": finding.level.word,
        "scope": finding.scope,
        "table": finding.table,
        "check": finding.check,
        "what": finding.what,
        "why": finding.why,
        "fix": finding.fix,
        "sql": finding.sql,
    }


def print_script(steps: Sequence[SetupStep]) -> None:
    """Print statements as a script that psql takes: each after a comment with its reason."""
    if not steps:
        typer.echo("-- nothing to do")
    for step in steps:
        typer.echo(f"-- {' '.join(step.why.split())}")
        typer.echo(step.sql)


def _look(settings: Settings, name: str, contracts: ContractSet, *, dry_run: bool) -> _Look:
    try:
        inspection = source_inspection(settings, name, contracts)
    except BridgeError as exc:
        return _Look(name, [Finding(level=Level.ERROR, check="settings", what=str(exc))], None)
    findings = inspection.inspect()
    if not contracts.tables(name):
        findings.insert(
            0,
            Finding(
                level=Level.ERROR,
                check="contracts",
                what="no contract maps a table of this source",
                fix=f"write one (`legacy-bridge source add {name}` drafts them)",
            ),
        )
    try:
        steps = inspection.setup_steps() if dry_run else None
    except BridgeError:
        steps = []  # Why there are none is among the findings.
    return _Look(name, findings, steps)
