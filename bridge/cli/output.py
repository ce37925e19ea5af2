"""Tables for people, JSON for programs."""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# What goes into a pipe or a file is searched and copied from: ids must not be broken in two.
_PIPE_COLUMNS = 240

console = Console(width=None if sys.stdout.isatty() else _PIPE_COLUMNS)
errors = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def print_json(value: Any) -> None:
    """Print `value` as JSON, one document, machine-readable."""
    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def print_rows(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table; an empty one says so. Cells are taken as they are, `Text` with its style."""
    if not rows:
        console.print(f"{title}: none")
        return
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        # The first column is what other commands are given.
        table.add_column(column, no_wrap=index == 0)
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else _plain(cell) for cell in row))
    console.print(table)


def _plain(cell: object) -> Text:
    # Not a string: a reason with brackets in it would be read as markup.
    return Text("" if cell is None else str(cell))
