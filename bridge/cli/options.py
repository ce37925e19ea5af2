"""Options that several commands share."""

import os
import pwd
from pathlib import Path
from typing import Annotated

import typer

from bridge.model.errors import ConfigInvalid
from bridge.model.warrant import Actor as WarrantActor
from bridge.model.warrant import ActorType, Known, Warrant

ConfigPath = Annotated[
    Path,
    typer.Option(
        "--config", "-c", envvar="LEGACY_BRIDGE_CONFIG", help="Settings file (YAML).",
    ),
]  # fmt: skip
DEFAULT_CONFIG = Path("config/legacy-bridge.yaml")


def _said(reason: str) -> str:
    if not reason.strip():
        raise ConfigInvalid("cannot do this without a reason: --reason is blank; say why")
    return reason


Reason = Annotated[
    str,
    typer.Option(
        "--reason", "-r", help="Why; it is recorded in the event log.", callback=_said,
    ),
]  # fmt: skip
Actor = Annotated[
    str | None,
    typer.Option("--actor", help="Who decides; the login name when absent."),
]
Ticket = Annotated[
    str,
    typer.Option(
        "--ticket", "-t", envvar="LEGACY_BRIDGE_TICKET",
        help="Where the decision can be looked up (ticket, change number); it is recorded.",
    ),
]  # fmt: skip


def warrant(actor: str | None, reason: str, ticket: str) -> Warrant:
    """Return who asks for an action at this shell, and why.

    Raises:
        ConfigInvalid: reason or ticket is blank or too long.
    """
    return Warrant(actor=reader(actor), reason=reason, ticket=ticket)


def reader(actor: str | None) -> WarrantActor:
    """Return who reads at this shell: reading needs no reason, and is recorded all the same."""
    known = Known.DECLARED if actor else Known.LOGIN
    return WarrantActor(id=actor_or_login(actor), type=ActorType.PERSON, known=known)


def actor_or_login(actor: str | None) -> str:
    """Return `actor`, or the name that this shell's user logged in with."""
    if actor:
        return actor
    # Not from LOGNAME or USER: anybody sets these. SUDO_USER is sudo's word where we are root.
    if os.getuid() == 0 and (behind := os.environ.get("SUDO_USER")):
        return behind
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid:{os.getuid()}"
