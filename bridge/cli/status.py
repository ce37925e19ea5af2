"""`status`: one look at everything; exit code 0 only when all is well."""

from typing import Any

import typer
from rich.text import Text

from bridge.cli.options import DEFAULT_CONFIG, ConfigPath
from bridge.cli.output import AsJson, console, print_json, print_rows
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.watching.status import collect_status


def add_to(app: typer.Typer) -> None:
    """Add the command to the main application."""
    app.command()(status)


def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show roles, event log, sinks, route groups, lanes and writes that need a decision."""
    report = collect_status(load_settings(config))
    code = 0 if report["healthy"] else 1
    if as_json:
        print_json(report)
        raise typer.Exit(code)
    _drills(report)
    print_rows(
        "Roles",
        ("role", "pid", "state", "restarts", "last exit"),
        [
            (
                role["role"],
                role["pid"],
                Text("alive", "green") if role["alive"] else Text("down", "red"),
                role["restarts"],
                role["last_exit"],
            )
            for role in report["roles"]
        ],
    )
    log = report["event_log"]
    console.print(
        f"[bold]Event log[/bold]: {log['size']:,} entries, root {log['root'][:16]}…, "
        f"checkpoint over {log['checkpoint_size'] or 0:,}, {_indexed(log)}"
    )
    _evidence(report)
    print_rows(
        "Sources",
        ("source", "position", "tables read", "appends", "WAL held", "time left", "state"),
        [
            (
                s["source"],
                s["position"],
                _tables(s),
                f"{s['version']:,}",
                _size(s["wal"]["retained_bytes"]),
                _span(s["wal"]["left_s"]),
                _state(s),
            )
            for s in report["sources"]
        ],
    )
    print_rows(
        "Sinks",
        ("sink", "next entry", "behind"),
        [(s["sink"], f"{s['next_index']:,}", f"{s['behind']:,}") for s in report["sinks"]],
    )
    _groups(report)
    _copies(report)
    _latencies(report)
    _lanes(report)
    _certificates(report)
    missing = [canary["category"] for canary in report["canaries"] if canary["missing"]]
    if missing:
        console.print(
            f"[red]entries may be missing[/red]: no canary of {', '.join(missing)} for a day"
        )
    raise typer.Exit(code)


def _groups(report: dict[str, Any]) -> None:
    print_rows(
        "Route groups",
        ("group", "stage", "epoch", "lanes", "forced until"),
        [
            (
                g["group"],
                g["stage"] + ("" if g["share_percent"] is None else f" {g['share_percent']:g} %"),
                g["epoch"],
                "held" if g["lanes_held"] else "replayed",
                g["forced_until"] or "",
            )
            for g in report["groups"]
        ],
    )


def _drills(report: dict[str, Any]) -> None:
    for each in report["drills"]:
        # Whoever looks because something is broken must see this first.
        console.print(
            f" DRILL IS ON: {each['fault']} at {each['side']} of group {each['group']}, "
            f"{each['left_s']:.0f} s left, by {each['actor']} ({each['ticket']}); end it with "
            f"`legacy-bridge drill stop {each['drill']}` ",
            style="bold white on red",
            markup=False,
            highlight=False,
        )


def _copies(report: dict[str, Any]) -> None:
    if report["copies"]:
        print_rows(
            "Copied for comparison, since the workers' start",
            ("route", "requests", "copied", "compared", "differed", "flapping", "left out"),
            [
                (
                    each["route"], f"{each['seen']:,}", f"{each['copied']:,}",
                    f"{each['compared']:,}", f"{each['differed']:,}", f"{each['flapping']:,}",
                    ", ".join(
                        f"{reason} {count:,}"
                        for reason, count in sorted({**each["shed"], **each["uncompared"]}.items())
                    ),
                )
                for each in report["copies"]
            ],
        )  # fmt: skip


def _latencies(report: dict[str, Any]) -> None:
    if report["latencies"]:
        print_rows(
            "Milliseconds to answer, since the workers' start",
            ("route", "side", "of", "answers", "p50", "p95", "p99", "first byte p95"),
            [
                (
                    each["route"], each["side"], each["of"], f"{each['count']:,}",
                    *(
                        "" if each[name] is None else f"{each[name]:,.2f}"
                        for name in ("p50_ms", "p95_ms", "p99_ms", "first_byte_p95_ms")
                    ),
                )
                for each in report["latencies"]
            ],
        )  # fmt: skip


def _lanes(report: dict[str, Any]) -> None:
    if report["lanes"]:
        print_rows(
            "Waiting for the other side",
            ("group", "towards", "lanes", "writes", "parked", "oldest"),
            [
                (
                    lane["group"], lane["towards"], lane["lanes"], lane["writes"], lane["parked"],
                    f"{lane['oldest_age_s']:.1f} s",
                )
                for lane in report["lanes"]
            ],
        )  # fmt: skip
    if report["writes_to_decide"]:
        console.print(
            f"[yellow]{report['writes_to_decide']} writes need a decision: "
            "`legacy-bridge writes list`[/yellow]"
        )


def _certificates(report: dict[str, Any]) -> None:
    if report["certificates"]:
        print_rows(
            "Certificates",
            ("of", "names", "days left", "state"),
            [
                (
                    each["of"],
                    ", ".join(each["names"]),
                    "" if each["days_left"] is None else f"{each['days_left']:,.1f}",
                    Text(each["problem"] or "ok", "red" if each["problem"] else "green"),
                )
                for each in report["certificates"]
            ],
        )


def _evidence(report: dict[str, Any]) -> None:
    if report["witnesses"]:
        print_rows(
            "Witnesses",
            ("witness", "cosigned", "behind", "since", "state"),
            [
                (w["name"], w["size"], w["lag_entries"], _span(w["lag_s"]), _standing(w))
                for w in report["witnesses"]
            ],
        )
    if report["timestamps"]:
        print_rows(
            "Time stamps",
            ("authority", "stamped", "age", "state"),
            [(t["name"], t["size"], _span(t["age_s"]), _standing(t)) for t in report["timestamps"]],
        )


def _standing(told: dict[str, Any]) -> Text:
    colour = {0: "green", 1: "yellow"}.get(told["level"], "red")
    return Text(told["standing"], colour)


def _indexed(log: dict[str, Any]) -> str:
    """Return how far searches see."""
    if log["indexed"] is None:
        return "no index"
    behind = log["size"] - log["indexed"]
    return f"index {behind:,} behind" if behind else "index current"


def _size(count_bytes: int | None) -> str:
    return "" if count_bytes is None else f"{count_bytes / (1 << 20):,.1f} MiB"


def _span(seconds: int | None) -> str:
    return "" if seconds is None else f"{seconds / 3600:,.1f} h"


def _tables(source: dict[str, Any]) -> str:
    """Return how many tables were read, and how far the one is that is being read."""
    reading = source.get("reading")
    if reading is None or reading["table"] is None:
        return str(source["tables_read"])
    estimate = reading["row_estimate"]
    share = f" {min(reading['row_count'] / estimate, 1):.0%}" if estimate else ""
    paused = ", paused" if reading["paused"] else ""
    return f"{source['tables_read']}, {reading['table']}{share}{paused}"


def _state(source: dict[str, Any]) -> Text:
    """Return what a person must know of a source first."""
    gap, level = source["gap"], source["wal"]["level"]
    if gap is not None and not gap["accepted"]:
        return Text(f"gap ({gap['cause']}): `source resume`", "red")
    if gap is not None:
        return Text("gap accepted, being closed", "yellow")
    colours = {"critical": "red", "warning": "yellow", "ok": "green"}
    return Text(f"WAL {level}" if level else "", colours.get(level or "", ""))
