"""`up` and `run`: start all roles, or one."""

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, ConfigPath
from bridge.cli.output import errors
from bridge.model.errors import ConfigInvalid
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.preflight import preflight
from bridge.runtime.roles import run_role
from bridge.runtime.settings import Settings
from bridge.runtime.settings_file import load_settings
from bridge.runtime.signals import stop_on_signals
from bridge.runtime.supervisor import RoleProcess, Supervisor
from bridge.runtime.telemetry import RunFileObserver, start_logging


def add_to(app: typer.Typer) -> None:
    """Add the commands to the main application."""
    app.command()(up)
    app.command()(run)


def up(
    config: ConfigPath = DEFAULT_CONFIG,
    skip_preflight: Annotated[
        bool, typer.Option("--skip-preflight", help="Start without checking the outside first.")
    ] = False,
) -> None:
    """Check the outside, then run all roles under a supervisor until SIGTERM or Ctrl-C."""
    settings = load_settings(config)
    if not skip_preflight:
        failed = [finding for finding in preflight(settings) if not finding.ok]
        if failed:
            for finding in failed:
                errors.print(f"legacy-bridge: {finding.message}", style="red", markup=False)
            errors.print("nothing was started; `legacy-bridge doctor` shows the whole list")
            raise typer.Exit(CONFIG)
    raise typer.Exit(_supervise(settings, config, all_roles(settings)))


def run(
    role: Annotated[
        str, typer.Argument(help="capture[:SOURCE], delivery, gateway, replay, control")
    ],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Run one role in this process (`gateway` runs its workers under a supervisor)."""
    settings = load_settings(config)
    if role == "gateway":
        workers = [name for name in all_roles(settings) if name.startswith("gateway:")]
        if not workers:
            raise ConfigInvalid(
                f"cannot run gateway: config {str(config)!r} has no gateway section"
            )
        raise typer.Exit(_supervise(settings, config, workers, name="gateway"))
    raise typer.Exit(run_role(settings, role))


def all_roles(settings: Settings) -> list[str]:
    """Return the roles that the settings call for, in the order in which they are started."""
    roles = []
    if settings.control is not None:
        roles.append("control")
    roles += [f"capture:{name}" for name in sorted(settings.sources)]
    if settings.delivery is not None:
        roles.append("delivery")
    if settings.gateway is not None:
        roles += [f"gateway:{number}" for number in range(settings.gateway.workers)]
        roles.append("replay")
    if not roles:
        raise ConfigInvalid(
            "cannot start: the settings name no source, no gateway, no delivery and no control"
        )
    return roles


def _supervise(settings: Settings, config: Path, roles: list[str], name: str = "supervisor") -> int:
    run_dir = settings.data_dir / "run"
    run_dir.mkdir(parents=True, exist_ok=True)
    observer = RunFileObserver(name, run_dir, start_logging(name, settings.log_level))
    specs = [
        RoleProcess(
            role=role,
            argv=(sys.executable, "-m", "bridge.cli", "run", role, "--config", str(config)),
        )
        for role in roles
    ]
    stop = threading.Event()
    with stop_on_signals(stop):
        return Supervisor(specs, run_dir, name=name, observer=observer).run(stop)
