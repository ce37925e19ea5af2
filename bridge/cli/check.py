"""`check`: is everything that the settings name right and reachable?"""

import typer
from rich.text import Text

from bridge.cli.options import DEFAULT_CONFIG, ConfigPath
from bridge.cli.output import AsJson, print_json, print_rows
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.preflight import preflight


def add_to(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command()(check)


def check(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Check settings, contracts, sources, broker, routes and ports.

    A source that is right gets its publications and slot, which holds WAL from then on.
    """
    findings = preflight(load_settings(config))
    if as_json:
        print_json([{"what": f.what, "ok": f.ok, "message": f.message} for f in findings])
    else:
        print_rows(
            "Check",
            ("what", "", "found"),
            [
                (f.what, Text("ok", "green") if f.ok else Text("problem", "red"), f.message)
                for f in findings
            ],
        )
    raise typer.Exit(0 if all(finding.ok for finding in findings) else CONFIG)
