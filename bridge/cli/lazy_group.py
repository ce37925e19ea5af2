"""A group of commands whose modules are imported when a command is called, not before.

Most commands need a small part of the product: importing all of it takes longer than they run, and
each role is started by such a command.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import ClassVar

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group


class LazyGroup(TyperGroup):
    """Knows the names of its commands; a subclass says in which module each of them is."""

    modules: ClassVar[Mapping[str, str]] = {}
    """Name of a command or group → its module, which adds it by `add_to(app)`."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # Typer's own context
        """Return all names, in the order in which help shows them."""
        return [*self.modules, *super().list_commands(ctx)]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> TyperCommand | TyperGroup | None:  # type: ignore[override]  # as above
        """Return a command, or None when there is none of this name."""
        module = self.modules.get(cmd_name)
        if module is None:
            return super().get_command(ctx, cmd_name)  # type: ignore[return-value]  # Typer makes no others
        app = typer.Typer()
        import_module(module).add_to(app)
        return get_group(app).get_command(ctx, cmd_name)  # type: ignore[return-value]  # as above
