"""`up` and `run`: start all roles, or one."""

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.error_line import print_error
from bridge.cli.options import DEFAULT_CONFIG, ConfigPath
from bridge.model.errors import ConfigInvalid
from bridge.model.signals import note_hang_ups, stop_on_signals
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.roles.running import run_role
from bridge.runtime.roles.supervisor import RoleProcess, Supervisor, check_alone
from bridge.runtime.watching.run_files import forget_ended
from bridge.runtime.watching.telemetry import RunFileObserver, start_logging
from bridge.runtime.wiring.stores import Stores

# `up` and `run gateway` start the same workers, so that each refuses to run beside the other.
ALL_ROLES, WORKERS = "supervisor", "gateway"


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
    roles = all_roles(settings)
    run_dir = _run_dir(settings)
    check_alone(run_dir, ALL_ROLES, WORKERS)
    if not skip_preflight:
        # It looks at everything, so it loads everything; a role is started without it.
        from bridge.runtime.preflight import preflight

        failed = [finding.message for finding in preflight(settings) if not finding.ok]
        if failed:
            for message in dict.fromkeys(failed):  # One broken folder may fail several looks.
                print_error(message)
            print_error("nothing was started; `legacy-bridge check` shows the whole list")
            raise typer.Exit(CONFIG)
    forget_ended(run_dir)
    raise typer.Exit(_supervise(settings, config, roles, ALL_ROLES))


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
        check_alone(_run_dir(settings), ALL_ROLES, WORKERS)
        raise typer.Exit(_supervise(settings, config, workers, WORKERS))
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
    return ["log", *roles]


def _run_dir(settings: Settings) -> Path:
    with Stores(settings) as stores:
        return stores.run_dir


def _supervise(settings: Settings, config: Path, roles: list[str], name: str) -> int:
    run_dir = _run_dir(settings)
    observer = RunFileObserver(name, run_dir, start_logging(name, settings.log_level))
    specs = [
        RoleProcess(
            role=role,
            argv=(sys.executable, "-m", "bridge.cli", "run", role, "--config", str(config)),
        )
        for role in roles
    ]
    stop, reload = threading.Event(), threading.Event()
    with stop_on_signals(stop), note_hang_ups(reload):
        return Supervisor(specs, run_dir, name=name, observer=observer).run(stop, reload)
