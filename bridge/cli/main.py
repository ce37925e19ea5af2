"""The command `legacy-bridge`."""

import sys

import typer

from bridge import __version__
from bridge.cli import (
    check,
    demo,
    doctor,
    lanes,
    log,
    roles,
    source,
    status,
    subject,
    switch,
    witness,
    writes,
)
from bridge.cli.output import print_error
from bridge.model.errors import BridgeError
from bridge.runtime.exit_codes import exit_code

app = typer.Typer(
    name="legacy-bridge",
    help="A gateway beside a legacy system: capture, event log, delivery, dual write, way back.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
roles.add_to(app)
status.add_to(app)
switch.add_to(app)
check.add_to(app)
doctor.add_to(app)
demo.add_to(app)
app.add_typer(source.app, name="source")
app.add_typer(lanes.app, name="lanes")
app.add_typer(lanes.ids_app, name="ids")
app.add_typer(writes.app, name="writes")
app.add_typer(log.app, name="log")
app.add_typer(log.parked_app, name="parked")
app.add_typer(subject.app, name="subject")
app.add_typer(witness.app, name="witness")


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
