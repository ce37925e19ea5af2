"""`log timestamp`: have the log's head time-stamped now."""

from typing import Annotated, Any

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, print_json, print_rows
from bridge.eventlog.records.action_record import log_time
from bridge.eventlog.records.attempt import log_tell, recorded
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.timestamps.stamper import Stamper
from bridge.model.entry import EntryKind
from bridge.model.errors import BridgeError, ConfigInvalid, DecodeError, Unavailable
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.evidence import stampers
from bridge.runtime.wiring.stores import Stores


def add_to(app: typer.Typer) -> None:
    """Add the command to `log`."""
    app.command("timestamp")(timestamp)


def timestamp(
    reason: Reason,
    ticket: Ticket,
    authority: Annotated[
        list[str] | None,
        typer.Option("--authority", help="One of event_log.timestamps; all when absent."),
    ] = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Sign the head and ask each time-stamp authority for a token over it; this is recorded."""
    with Stores(load_settings(config)) as stores:
        chosen = _chosen(stores, authority)
        log = stores.event_log()
        names = [each.name for each in chosen]
        who = warrant(actor, reason, ticket)
        with recorded(
            log_tell(log), EntryKind.CONTROL, "timestamp", who, fields={"authorities": names}
        ) as deed:
            head, note = HeadSigner(stores.signer(), log).sign()
            deed.fields |= {"size": head.size, "root": head.root.hex()}
            rows = [_stamp(each, head.size, note) for each in chosen]
            deed.fields["stamped"] = [row["authority"] for row in rows if row["time"]]
            failures = [row["failure"] for row in rows if row["failure"] is not None]
            if failures and not deed.fields["stamped"]:
                raise failures[0]
    shown = [{**row, "failure": row["failure"] and str(row["failure"])} for row in rows]
    if as_json:
        print_json({"size": head.size, "root": head.root.hex(), "tokens": shown})
    else:
        print_rows(
            f"Time stamps over {head.size:,} entries",
            ("authority", "time", "bytes", "failure"),
            [(row["authority"], row["time"], row["bytes"], row["failure"]) for row in shown],
        )
    if failures:
        raise typer.Exit(1)


def _chosen(stores: Stores, wanted: list[str] | None) -> list[Stamper]:
    known = {each.name: each for each in stampers(stores)}
    if not known:
        raise ConfigInvalid(
            "cannot get a time stamp: event_log.timestamps names no authority (RFC 3161)"
        )
    for name in wanted or []:
        if name not in known:
            raise ConfigInvalid(
                f"cannot get a time stamp from {name!r}: configured are {', '.join(known)}"
            )
    return [each for name, each in known.items() if not wanted or name in wanted]


def _stamp(stamper: Stamper, size: int, note: bytes) -> dict[str, Any]:
    row: dict[str, Any] = {
        "authority": stamper.name, "time": None, "bytes": None, "failure": None
    }  # fmt: skip
    failure: BridgeError
    try:
        token = stamper.stamp(size, note)
    except (Unavailable, DecodeError) as exc:
        failure = exc
        return row | {"failure": failure}
    return row | {"time": log_time(token.time), "bytes": len(token.der)}
