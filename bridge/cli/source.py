"""`legacy-bridge source`: a legacy database, from setting up to taking leave."""

import typer

from bridge.cli import (
    source_add,
    source_compare,
    source_drift,
    source_guard,
    source_setup,
    source_snapshot,
)

app = typer.Typer(
    no_args_is_help=True, help="A legacy database: set up, read again, compare, leave."
)
source_add.add_to(app)
source_setup.add_to(app)
source_drift.add_to(app)
source_guard.add_to(app)
source_snapshot.add_to(app)
source_compare.add_to(app)
