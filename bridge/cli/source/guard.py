"""`source resume`: what a person decides about a gap."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bridge.capture.cursor import CaptureCursor, format_cursor, parse_cursor
from bridge.capture.guard.gaps import accept
from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json
from bridge.cli.source.compare import repair_all, show_compared
from bridge.contracts.names import source_urn
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.records.attempt import log_tell, refusals_told
from bridge.model.entry import CursorMove, EntryKind
from bridge.model.errors import ConfigInvalid, SourceUnavailable, StaleCursor, StepForbidden
from bridge.model.lsn import format_lsn
from bridge.model.warrant import Warrant
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

# Capture looks each half second; making a slot may wait for open transactions.
_CLOSE_S_MAX: Final = 60.0
_LOOK_S: Final = 0.2


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `source`."""
    app.command()(resume)


def resume(
    source: Annotated[str, typer.Argument(help="Source with an open gap.")],
    reason: Reason,
    ticket: Ticket,
    accept_gap: Annotated[bool, typer.Option("--accept-gap", help="Go on behind the gap.")] = False,
    reread: Annotated[
        bool,
        typer.Option(
            "--reread", help="Read all tables again, instead of comparing and repairing them."
        ),
    ] = False,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Go on with a source whose stream broke off: changes in between are lost to the log.

    The running capture makes a new slot where that is needed and records the exact range of the
    gap. Then the tables are compared with the log, and only what differs is told.
    """
    word = warrant(actor, reason, ticket)
    accepted = _accept(source, config, word, accept_gap=accept_gap, reread=reread)
    facts = _facts(source, accepted)
    if not as_json:
        until = facts["to_lsn"] or "where the new slot begins"
        console.print(f"[bold]{source}[/bold]: gap from {facts['from_lsn']} to {until} accepted")
    if reread:
        facts["compared"] = None
        if not as_json:
            console.print("capture reads all tables again; deleted rows are not found that way")
    else:
        _await_closed(source, config)
        facts["compared"] = repair_all(config, source, word)
        if not as_json:
            show_compared(facts["compared"])
    if as_json:
        print_json(facts)


def _accept(
    source: str, config: Path, word: Warrant, *, accept_gap: bool, reread: bool
) -> CaptureCursor:
    settings = load_settings(config)
    settings.source(source)
    with Stores(settings) as stores:
        log = stores.event_log()
        fields = {"source": source_urn(source)}
        with refusals_told(log_tell(log), EntryKind.CONTROL, "gap-accept", word, fields=fields):
            return _accepted(log, source, word, accept_gap=accept_gap, reread=reread)


def _accepted(
    log: EventLogStore, source: str, word: Warrant, *, accept_gap: bool, reread: bool
) -> CaptureCursor:
    stored = log.cursor(source)
    if stored is None:
        raise ConfigInvalid(f"cannot resume source {source!r}: it was never captured")
    cursor = parse_cursor(stored.state)
    if cursor.gap is not None and not accept_gap:
        raise StepForbidden(
            f"cannot resume source {source!r}: changes after {format_lsn(cursor.end_lsn)} are "
            f"lost ({cursor.gap.cause}); give --accept-gap to go on without them"
        )
    accepted, draft = accept(source, cursor, word, now=datetime.now(UTC), reread=reread)
    try:
        log.append([draft], cursor=CursorMove(source, stored.version, format_cursor(accepted)))
    except StaleCursor as exc:
        raise StaleCursor(
            f"cannot resume source {source!r}: capture moved meanwhile; run it again"
        ) from exc
    return accepted


def _await_closed(source: str, config: Path) -> None:
    """Return once capture has closed the gap."""
    deadline = time.monotonic() + _CLOSE_S_MAX
    with Stores(load_settings(config)) as stores:
        log = stores.event_log()
        while time.monotonic() < deadline:
            stored = log.cursor(source)
            if stored is not None and parse_cursor(stored.state).gap is None:
                return
            time.sleep(_LOOK_S)
    raise SourceUnavailable(
        f"cannot compare source {source!r} yet: its gap is accepted, but capture has not closed it "
        f"within {_CLOSE_S_MAX:.0f} s; when it runs, give: legacy-bridge source repair {source} "
        "--apply --reason WHY --ticket WHERE"
    )


def _facts(source: str, cursor: CaptureCursor) -> dict[str, Any]:
    assert cursor.gap is not None, "it was just accepted"
    end_lsn = cursor.gap.end_lsn
    return {
        "source": source,
        "cause": cursor.gap.cause,
        "from_lsn": format_lsn(cursor.end_lsn),
        "to_lsn": None if end_lsn is None else format_lsn(end_lsn),
    }
