"""`source resume`: what a person decides about a gap."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from bridge.capture.cursor import CaptureCursor, format_cursor, parse_cursor
from bridge.capture.gaps import accept
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, actor_or_login
from bridge.cli.output import AsJson, console, print_json
from bridge.model.entry import CursorMove
from bridge.model.errors import ConfigInvalid, StaleCursor, StepForbidden
from bridge.model.lsn import format_lsn
from bridge.runtime.settings_file import load_settings
from bridge.runtime.wiring import Stores


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `source`."""
    app.command()(resume)


def resume(
    source: Annotated[str, typer.Argument(help="Source with an open gap.")],
    reason: Reason,
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="Go on behind the gap; read all tables again.")
    ] = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Go on with a source whose stream broke off: changes in between are lost to the log.

    The running capture follows within a second, or the next one that starts: it makes a new slot
    where that is needed, records the exact range of the gap and reads all tables again.
    """
    with Stores(load_settings(config)) as stores:
        log = stores.event_log()
        stored = log.cursor(source)
        if stored is None:
            raise ConfigInvalid(f"cannot resume source {source!r}: it was never captured")
        cursor = parse_cursor(stored.state)
        if cursor.gap is not None and not accept_gap:
            raise StepForbidden(
                f"cannot resume source {source!r}: changes after {format_lsn(cursor.end_lsn)} are "
                f"lost ({cursor.gap.cause}); give --accept-gap to go on without them"
            )
        now = datetime.now(UTC)
        accepted, draft = accept(
            source, cursor, actor=actor_or_login(actor), reason=reason, now=now
        )
        try:
            log.append([draft], cursor=CursorMove(source, stored.version, format_cursor(accepted)))
        except StaleCursor as exc:
            raise StaleCursor(
                f"cannot resume source {source!r}: capture moved meanwhile; run it again"
            ) from exc
    _show(source, accepted, as_json)


def _show(source: str, cursor: CaptureCursor, as_json: bool) -> None:
    assert cursor.gap is not None, "it was just accepted"
    end_lsn = cursor.gap.end_lsn
    facts = {
        "source": source,
        "cause": cursor.gap.cause,
        "from_lsn": format_lsn(cursor.end_lsn),
        "to_lsn": None if end_lsn is None else format_lsn(end_lsn),
    }
    if as_json:
        print_json(facts)
        return
    until = facts["to_lsn"] or "where the new slot begins"
    console.print(
        f"[bold]{source}[/bold]: gap from {facts['from_lsn']} to {until} accepted; capture goes on "
        "behind it and reads all tables again"
    )
