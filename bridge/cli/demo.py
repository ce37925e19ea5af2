"""`demo`: the whole main job against a demo legacy system, on private servers."""

from pathlib import Path
from typing import Annotated

import typer


def add_to(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command()(demo)


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(help="Keep logs, databases and the exported bundle in this new folder."),
    ] = None,
    seconds: Annotated[
        int, typer.Option(help="Seconds of traffic in each stage.", min=2, max=120)
    ] = 8,
    seed: Annotated[int, typer.Option(help="Seed of data and traffic.")] = 7,
) -> None:
    """Capture, log, publish, consume; dual write, switch, roll back; export and verify."""
    # Only here: every other command starts a second sooner without the demo's libraries.
    from bridge.demo.run import DemoOptions, run_demo

    raise typer.Exit(run_demo(DemoOptions(keep=keep, seconds=seconds, seed=seed)))
