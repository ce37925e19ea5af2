"""The table at the end of the show, and what would contradict it."""

from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table

from bridge.demo.traffic.checker import CheckReport
from bridge.model.entry import EntryKind

# "In seconds" is the promise; on one machine a roll back takes milliseconds.
ROLLBACK_MS_MAX = 2_000.0


@dataclass(slots=True)
class Facts:
    """Figures of one run, each from its own place."""

    legacy_rows: int = 0
    captured_rows: int = 0
    snapshot_s: float = 0.0
    entries: dict[EntryKind, int] = field(default_factory=dict)
    published: int = 0
    messages: int = 0
    relay_behind: int = -1
    consumed: int = 0
    requests: dict[str, int] = field(default_factory=dict)
    switch_ms: dict[str, float] = field(default_factory=dict)
    lanes_waiting_max: int = 0
    ids_imported: int = 0
    answers_compared: int = 0
    fields_that_differ: list[str] = field(default_factory=list)
    mirrored: tuple[float, float] | None = None
    writes_to_decide: int = 0
    traffic: dict[str, Any] = field(default_factory=dict)
    checked: CheckReport | None = None
    read_model_problems: list[str] = field(default_factory=list)
    verified: int = -1
    verifier_said: str = ""
    exit_code: int | None = None
    seconds: float = 0.0


def contradictions(facts: Facts) -> list[str]:
    """Return every pair of figures that cannot both be true, and every broken promise."""
    problems = []
    events = facts.entries.get(EntryKind.EVENT, 0)
    for name, count in (("published", facts.published), ("consumed", facts.consumed)):
        if count != events:
            problems.append(f"{count:,} events {name}, but {events:,} in the log")
    if facts.messages != facts.published:
        problems.append(f"{facts.messages:,} messages, but {facts.published:,} distinct events")
    if events < facts.captured_rows:
        problems.append(f"{events:,} events, but {facts.captured_rows:,} rows were there before")
    if facts.entries.get(EntryKind.PARKED, 0):
        problems.append(f"{facts.entries[EntryKind.PARKED]:,} events broke their contract")
    if not facts.answers_compared:
        problems.append("no answer of modern was compared with legacy's")
    if facts.fields_that_differ:
        problems.append(f"modern's answers differ in {', '.join(facts.fields_that_differ)}")
    switches = facts.entries.get(EntryKind.ROUTE, 0)
    if switches < len(facts.switch_ms):
        problems.append(f"{len(facts.switch_ms)} switches, but {switches} entries of them")
    problems += facts.read_model_problems
    checked = facts.checked
    if checked is None:
        problems.append("the writes were not checked")
    else:
        problems += checked.problems
        if checked.acknowledged != facts.traffic.get("acknowledged"):
            problems.append(
                f"clients counted {facts.traffic.get('acknowledged')} acknowledged writes, "
                f"their journal has {checked.acknowledged}"
            )
        if checked.unknown or facts.writes_to_decide:
            problems.append(
                f"{checked.unknown} writes of unknown outcome, "
                f"{facts.writes_to_decide} to decide, though no authority was killed"
            )
    if any(not count for count in facts.requests.values()):
        problems.append(f"a stage answered no request: {facts.requests}")
    if facts.switch_ms.get("legacy (roll back)", ROLLBACK_MS_MAX + 1) > ROLLBACK_MS_MAX:
        problems.append(f"the roll back took {facts.switch_ms.get('legacy (roll back)')} ms")
    if facts.verified != 0:
        problems.append(f"the verifier ended with {facts.verified}: {facts.verifier_said}")
    if facts.exit_code != 0:
        problems.append(f"Legacy Bridge ended with {facts.exit_code}")
    return problems


def print_facts(console: Console, facts: Facts, problems: list[str]) -> None:
    """Print what happened, and what does not fit together."""
    table = Table(title="What happened", title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    events = facts.entries.get(EntryKind.EVENT, 0)
    table.add_row("rows in the legacy database before", f"{facts.legacy_rows:,}")
    table.add_row("of them in captured tables", f"{facts.captured_rows:,}")
    table.add_row("events captured and logged", f"{events:,}")
    table.add_row("events published and confirmed", f"{facts.published:,}")
    table.add_row("events consumed", f"{facts.consumed:,}")
    table.add_row(
        "read model against legacy tables",
        "equal, row by row" if not facts.read_model_problems else "[red]differs[/red]",
    )
    for stage, count in facts.requests.items():
        table.add_row(f"requests at stage {stage}", f"{count:,}")
    for stage, took_ms in facts.switch_ms.items():
        table.add_row(f"switch to {stage}", f"{took_ms:.1f} ms")
    table.add_row("orders backfilled to modern", f"{facts.ids_imported:,}")
    table.add_row(
        "answers to reads compared", f"{facts.answers_compared:,}, of legacy with modern's"
    )
    table.add_row("writes waiting while modern was dead", f"{facts.lanes_waiting_max:,}")
    if facts.checked is not None:
        table.add_row("writes acknowledged to clients", f"{facts.checked.acknowledged:,}")
        for side, count in facts.checked.checked.items():
            table.add_row(f"facts of them found in {side}", f"{count:,}")
    table.add_row(
        "dual writes settled, as entries", f"{facts.entries.get(EntryKind.DUALWRITE, 0):,}"
    )
    latency = facts.traffic.get("write_latency", {})
    if latency:
        table.add_row("write latency p50 / p99", _latency(latency))
    table.add_row("log verified by the separate program", "yes" if facts.verified == 0 else "NO")
    table.add_row("took", f"{facts.seconds:.0f} s")
    console.print(table)
    if problems:
        console.print("[red]These do not fit together:[/red]")
        for problem in problems:
            console.print(f"  - {problem}", markup=False)
    else:
        console.print("[green]Every figure agrees with every other.[/green]")


def _latency(latency: dict[str, Any]) -> str:
    return f"{latency.get('p50_ms', 0):.1f} / {latency.get('p99_ms', 0):.1f} ms"
