"""The command `legacy-bridge`."""

import sys
from collections.abc import Mapping
from typing import ClassVar

import typer

from bridge import __version__
from bridge.cli.error_line import print_error
from bridge.cli.lazy_group import LazyGroup
from bridge.model.errors import BridgeError
from bridge.runtime.exit_codes import exit_code


class Commands(LazyGroup):
    """Everything that `legacy-bridge` can do, by topic."""

    modules: ClassVar[Mapping[str, str]] = {
        "up": "bridge.cli.roles",
        "run": "bridge.cli.roles",
        "status": "bridge.cli.status",
        "switch": "bridge.cli.switch",
        "rollback": "bridge.cli.switch",
        "drill": "bridge.cli.drill",
        "check": "bridge.cli.check",
        "doctor": "bridge.cli.doctor",
        "demo": "bridge.cli.demo",
        "source": "bridge.cli.source.group",
        "lanes": "bridge.cli.lanes",
        "ids": "bridge.cli.lanes",
        "routes": "bridge.cli.routes",
        "writes": "bridge.cli.writes",
        "compare": "bridge.cli.compare",
        "reconcile": "bridge.cli.reconcile",
        "log": "bridge.cli.log.group",
        "parked": "bridge.cli.log.group",
        "subject": "bridge.cli.subject",
        "witness": "bridge.cli.witness",
    }


app = typer.Typer(
    name="legacy-bridge",
    cls=Commands,
    help="A gateway beside a legacy system: capture, event log, delivery, dual write, way back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


@app.callback()
def legacy_bridge() -> None:
    """A gateway beside a legacy system: capture, event log, delivery, dual write, way back."""


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run a command; tell what went wrong in one line, and by the exit code."""
    try:
        app()
    except BridgeError as exc:
        print_error(str(exc))
        sys.exit(exit_code(exc))
