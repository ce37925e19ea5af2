"""The show: the whole main job against the demo's legacy system, with progress on screen.

Its figures come from different places (log, broker's cursor, consumer, journals of the clients,
databases of both sides), and it fails when any contradicts another.
"""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from bridge.demo.house import DemoHouse
from bridge.demo.readmodel.compare import compare
from bridge.demo.report import Facts, contradictions, print_facts
from bridge.demo.servers.packages import ensure
from bridge.demo.traffic.checker import check
from bridge.eventlog.verify_bundle import verify_bundle
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid

# Requests per second of the traffic: two cores also carry servers, gateway and consumers.
RATE = 100.0
# A lane whose oldest write is younger keeps up with the traffic.
FRESH_S = 1.0
# Routes whose reads are copied to modern, to compare the answers.
COMPARED_ROUTES = ("order-read", "order-payments")
# Per cent of the orders whose reads come from modern, step by step.
CANARY_SHARES = (5, 50)
# Nothing takes longer on a working machine; a show that hangs must end with a message.
PATIENCE_S = 150.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What a person may choose."""

    keep: Path | None
    seconds: int
    seed: int


def run_demo(options: DemoOptions) -> int:
    """Run the show; return 0 when every figure agrees with every other."""
    console = Console()
    if options.keep is not None and options.keep.exists():
        raise ConfigInvalid(
            f"cannot keep the demo in {str(options.keep)!r}: it exists; name a new folder"
        )
    ensure()
    # PostgreSQL's own account must be able to reach its data below this folder.
    folder = Path(tempfile.mkdtemp(prefix="legacy-bridge-demo-"))
    folder.chmod(0o755)
    failed = True
    try:
        with DemoHouse(folder, seed=options.seed) as house:
            facts = _Show(house, options, console).play()
        problems = contradictions(facts)
        print_facts(console, facts, problems)
        failed = bool(problems)
    finally:
        kept = options.keep
        if kept is not None:
            shutil.copytree(folder, kept, ignore=shutil.ignore_patterns("postgres", "rabbitmq"))
        elif failed:
            console.print(f"[yellow]logs and databases of this run are in {folder}[/yellow]")
        if kept is not None or not failed:
            shutil.rmtree(folder, ignore_errors=True)
    if kept is not None:
        console.print(f"kept: logs, stores and bundle in {kept}")
    console.print("where to look further: README.md, docs/operators.md, docs/auditors.md")
    return 1 if failed else 0


class _Show:
    """One performance."""

    def __init__(self, house: DemoHouse, options: DemoOptions, console: Console) -> None:
        self._house = house
        self._options = options
        self._console = console
        self._facts = Facts()
        self._began = time.monotonic()

    def play(self) -> Facts:
        """Play all acts and return the figures."""
        house, facts = self._house, self._facts
        self._say("starting private PostgreSQL and RabbitMQ")
        house.start_servers()
        self._say("loading the legacy database")
        facts.legacy_rows, facts.captured_rows = house.seed_legacy()
        self._say(f"{facts.legacy_rows:,} rows; starting both applications and Legacy Bridge")
        house.start_applications()
        house.bridge.up()
        house.start_consumers()
        self._watch_snapshot()
        self._traffic()
        self._settle()
        self._compare()
        self._audit()
        self._stop()
        facts.seconds = time.monotonic() - self._began
        return facts

    def _watch_snapshot(self) -> None:
        """Show how the first reading of the tables goes."""
        house = self._house
        start = house.source_position()
        with Progress(
            SpinnerColumn(),
            TextColumn("capturing what is there"),
            BarColumn(),
            MofNCompleteColumn(),
            console=self._console,
            transient=True,
        ) as bar:
            task = bar.add_task("capture", total=self._facts.captured_rows)

            def captured() -> bool:
                bar.update(task, completed=house.log_size())
                return house.captured_position() >= start

            took = house.bridge.wait_for("the tables are captured", captured, PATIENCE_S, 0.2)
        self._facts.snapshot_s = took
        self._say(f"{house.log_size():,} entries in the log after {took:.1f} s of reading")

    def _traffic(self) -> None:
        """Go legacy → dual → canary → modern → back to legacy while clients read and write."""
        house, facts, seconds = self._house, self._facts, self._options.seconds
        traffic = house.start_traffic(seconds=600, rate=RATE)
        house.bridge.wait_for(
            "clients are answered", lambda: house.requests_answered() > 0, PATIENCE_S
        )
        self._stage("legacy", seconds)

        # Dual begins with held lanes: writes are journalled, and replayed once the backfill has
        # brought what was there before.
        house.bridge.command(
            "lanes", "hold", "orders", "--reason", "backfill runs", "--ticket", "DEMO-1"
        )
        facts.switch_ms["dual"] = self._switch("dual", "start dual write")
        mirrored_from = time.time()
        self._say("dual write is on, lanes held: the backfill catches up")
        facts.ids_imported = house.finish_backfill(PATIENCE_S)
        self._say(f"{facts.ids_imported:,} orders backfilled, their ids are known")
        house.bridge.command(
            "lanes", "resume", "orders", "--reason", "backfill is done", "--ticket", "DEMO-1"
        )
        house.bridge.wait_for("lanes are fresh", self._lanes_are_fresh, PATIENCE_S)
        for route in COMPARED_ROUTES:
            # Until now modern lacked what the backfill has brought.
            house.bridge.command(
                "compare", "restart", route, "--reason", "backfill is done", "--ticket", "DEMO-1"
            )
        self._stage("dual", seconds)
        self._answers()

        self._say("killing the modern service with -9: its lanes wait")
        house.modern.kill()
        time.sleep(1.0)
        facts.lanes_waiting_max = self._lane_writes()
        house.modern.start_listening()
        house.bridge.wait_for("lanes are fresh", self._lanes_are_fresh, PATIENCE_S)

        for share in CANARY_SHARES:
            name = f"canary {share} %"
            facts.switch_ms[name] = self._switch("canary", "ramp the reads", share)
            self._stage(name, max(2, seconds // 3))

        facts.switch_ms["modern"] = self._switch("modern", "modern becomes the authority")
        self._stage("modern", seconds)
        # Until here every write went to both sides; the roll back itself comes some moment later.
        facts.mirrored = (mirrored_from, time.time())
        report = house.bridge.query(
            "rollback", "orders", "--reason", "show the way back", "--ticket", "DEMO-1"
        )
        facts.switch_ms["legacy (roll back)"] = float(report["took_ms"])
        self._say(f"rolled back in {report['took_ms']} ms")
        self._stage("legacy again", max(2, seconds // 2))
        traffic.stop()
        facts.traffic = traffic.report()

    def _switch(self, to: str, reason: str, share: int = 0) -> float:
        words = ("--share", str(share)) if share else ()
        report = self._house.bridge.query(
            "switch", "orders", to, *words, "--reason", reason, "--ticket", "DEMO-1"
        )
        place = f"{to} {share} %" if share else to
        self._say(f"switched to {place} in {report['took_ms']} ms on {report['workers']} workers")
        return float(report["took_ms"])

    def _answers(self) -> None:
        """Look how modern's answers to copies of the clients' reads compare with legacy's."""
        facts = self._facts

        def compared() -> bool:
            told = self._house.bridge.query("compare", "status")
            told = [route for route in told if route["route"] in COMPARED_ROUTES]
            facts.answers_compared = sum(int(route["compared"]) for route in told)
            facts.fields_that_differ = sorted(
                f"{route['route']} {place}" for route in told for place in route["wrong_fields"]
            )
            return facts.answers_compared > 0

        self._house.bridge.wait_for("answers are compared", compared, PATIENCE_S, 0.5)
        self._say(f"{facts.answers_compared:,} answers of modern compared with legacy's")

    def _stage(self, name: str, seconds: int) -> None:
        before = self._house.requests_answered()
        time.sleep(seconds)
        self._facts.requests[name] = self._house.requests_answered() - before
        self._say(f"stage {name}: {self._facts.requests[name]:,} requests in {seconds} s")

    def _settle(self) -> None:
        """Wait until lanes, log, broker and read model have everything."""
        house, facts = self._house, self._facts
        house.bridge.wait_for("lanes are drained", lambda: self._lane_writes() == 0, PATIENCE_S)
        position = house.source_position()
        house.bridge.wait_for(
            "capture has everything", lambda: house.captured_position() >= position, PATIENCE_S
        )
        house.bridge.wait_for("the relay has published everything", self._published, PATIENCE_S)
        counts = house.count_entries()
        facts.entries = counts
        house.bridge.wait_for(
            "the read model has everything",
            lambda: house.consumed() >= counts[EntryKind.EVENT],
            PATIENCE_S,
            0.2,
        )
        published = house.published()
        facts.published, facts.messages = published.events, published.messages
        facts.consumed = house.consumed()

    def _published(self) -> bool:
        status = self._house.bridge.status()
        self._facts.relay_behind = int(status["sinks"][0]["behind"])
        self._facts.writes_to_decide = int(status["writes_to_decide"])
        return self._facts.relay_behind == 0

    def _lane_writes(self) -> int:
        return sum(int(lane["writes"]) for lane in self._house.bridge.status()["lanes"])

    def _lanes_are_fresh(self) -> bool:
        """Under traffic lanes are never empty for long; what matters is the age of their writes."""
        lanes = self._house.bridge.status()["lanes"]
        return all(lane["oldest_age_s"] < FRESH_S for lane in lanes)

    def _compare(self) -> None:
        house, facts = self._house, self._facts
        self._say("comparing the read model with the legacy tables, row by row")
        facts.read_model_problems = compare(house.legacy_dsn, house.readmodel_file)
        assert facts.mirrored is not None
        facts.checked = check(
            [house.journal()],
            legacy_dsn=house.legacy_dsn,
            modern_dsn=house.modern_dsn,
            pairs=house.known_pairs(),
            mirrored=[facts.mirrored],
        )

    def _audit(self) -> None:
        house, facts = self._house, self._facts
        self._say("exporting the log and verifying it with the separate program")
        vkey = house.bridge.command("log", "key").strip()
        house.bridge.command(
            "log", "export", str(house.bundle), "--reason", "end of the demo", "--ticket", "DEMO-1"
        )
        verdict = verify_bundle(house.bundle, vkey)
        facts.verified = verdict.exit_code
        facts.verifier_said = verdict.text

    def _stop(self) -> None:
        self._say("stopping everything")
        self._house.readmodel.stop()
        self._facts.exit_code = self._house.bridge.stop()

    def _say(self, text: str) -> None:
        elapsed = time.monotonic() - self._began
        self._console.print(f"[dim]{elapsed:6.1f} s[/dim]  {text}", highlight=False)
