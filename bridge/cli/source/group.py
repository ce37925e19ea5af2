"""`legacy-bridge source`: a legacy database, from setting up to taking leave."""

import typer

from bridge.cli.source import add as source_add
from bridge.cli.source import compare as source_compare
from bridge.cli.source import drift as source_drift
from bridge.cli.source import guard as source_guard
from bridge.cli.source import setup as source_setup
from bridge.cli.source import snapshot as source_snapshot

app = typer.Typer(
    no_args_is_help=True, help="A legacy database: set up, read again, compare, leave."
)
source_add.add_to(app)
source_setup.add_to(app)
source_drift.add_to(app)
source_guard.add_to(app)
source_snapshot.add_to(app)
source_compare.add_to(app)


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="source")
