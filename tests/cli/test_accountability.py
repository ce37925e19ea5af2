"""Every command says who, when and why, or is named here with the reason why it does not.

A new command fails the sweep until it is in one of the three tables.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from bridge.cli.main import app
from bridge.eventlog.sequencer import Sequencer
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.model.write import WriteState
from tests.cli.deployment import Deployment
from tests.cli.journalled import journalled

Command = tuple[str, ...]
Words = Callable[[Deployment], tuple[str, ...]]

WHY = ("--reason", "swept", "--ticket", "SWEEP-1", "--actor", "ana")
CONTRACTS = Path(__file__).parents[1] / "pgbench_contracts"


def _parked(deployment: Deployment) -> str:
    (intent,) = journalled(deployment, WriteState.PARKED)
    return intent


def _in_doubt(deployment: Deployment) -> str:
    (intent,) = journalled(deployment, WriteState.IN_DOUBT)
    return intent


def _planned(deployment: Deployment) -> str:
    return str(deployment.call("routes", "plan", "--json").json()["plan"])


def _file(deployment: Deployment, text: str) -> str:
    path = deployment.folder / "given"
    path.write_text(text)
    return str(path)


def _fixed(*words: str) -> Words:
    return lambda _: words


def _replayed(deployment: Deployment) -> tuple[str, ...]:
    assert deployment.call("lanes", "hold", "orders", "-r", "x", "-t", "OTHER").code == 0
    entries(deployment)
    return ("--to-file", str(deployment.folder / "replayed"))


def _drilled(deployment: Deployment) -> tuple[str, ...]:
    words = ("orders", "--fault", "refuse", "--keys", "7", "--for", "60s")
    assert deployment.call("drill", "start", *words, "-r", "x", "-t", "OTHER").code == 0
    entries(deployment)
    return ()


# What changes something: the words after the command, for a deployment whose source does not
# answer, and how it then ends.
ACTS: dict[Command, tuple[Words, str]] = {
    ("switch",): (_fixed("orders", "dual"), "done"),
    ("rollback",): (_fixed("orders"), "refused"),
    ("lanes", "hold"): (_fixed("orders"), "done"),
    ("lanes", "resume"): (_fixed("orders"), "done"),
    ("reconcile", "accept"): (_fixed("orders", "7"), "refused"),
    ("reconcile", "repair"): (_fixed("orders", "7", "--apply"), "refused"),
    ("compare", "again"): (_fixed("nothing"), "refused"),
    ("compare", "restart"): (_fixed("order-status"), "done"),
    ("routes", "force"): (
        _fixed("--group", "orders", "--side", "modern", "--expires", "5m"),
        "refused",
    ),
    ("drill", "start"): (
        _fixed("orders", "--fault", "refuse", "--keys", "7", "--for", "5s"),
        "done",
    ),
    ("drill", "stop"): (_drilled, "done"),
    ("ids", "import"): (lambda d: ("orders", "order", _file(d, '["1", "a"]\n')), "done"),
    ("writes", "resolve"): (lambda d: (_in_doubt(d), "failed"), "done"),
    ("writes", "replay"): (lambda d: (_parked(d),), "done"),
    ("writes", "skip"): (lambda d: (_parked(d),), "done"),
    ("log", "accept-restore"): (_fixed("--origin", "legacy-bridge.local/log-2"), "refused"),
    ("log", "backup"): (lambda d: (str(d.folder / "backup"),), "done"),
    ("log", "export"): (lambda d: (str(d.folder / "bundle"),), "done"),
    ("log", "key", "rotate"): (_fixed(), "done"),
    ("log", "prune"): (_fixed("--below", "1"), "refused"),
    ("log", "replay"): (_replayed, "done"),
    ("log", "timestamp"): (_fixed(), "failed"),
    ("routes", "apply"): (lambda d: (_planned(d),), "done"),
    ("source", "drift", "accept"): (_fixed("pgbench", "public.t"), "refused"),
    ("source", "repair"): (_fixed("pgbench", "--apply"), "refused"),
    ("source", "resume"): (_fixed("pgbench", "--accept-gap"), "refused"),
    ("source", "setup"): (_fixed("pgbench"), "failed"),
    ("source", "teardown"): (_fixed("pgbench"), "failed"),
    ("source", "snapshot", "start"): (_fixed("pgbench"), "asked"),
    ("source", "snapshot", "pause"): (_fixed("pgbench"), "asked"),
    ("source", "snapshot", "resume"): (_fixed("pgbench"), "asked"),
    ("source", "snapshot", "stop"): (_fixed("pgbench"), "asked"),
    ("subject", "erase"): (_fixed("customer", "4711", "--legal-basis", "art. 17"), "refused"),
    ("subject", "rotate-master"): (_fixed(), "done"),
    ("subject", "hold", "place"): (_fixed("--all"), "done"),
    ("subject", "hold", "lift"): (_fixed("nothing"), "refused"),
}
ASKED_OF_CAPTURE = "asked"
"""The request is durable with who and why; its entry is capture's, with the outcome, in the commit
that carries it out (`tests/capture/snapshot/test_steering.py`)."""

# What shows entries, payloads, journalled writes, or what was found about a person in the log.
READS: dict[Command, Words] = {
    ("log", "list"): _fixed(),
    ("log", "search"): _fixed(),
    ("log", "history"): _fixed("pgbench.account", "5"),
    ("log", "as-of"): _fixed("pgbench.account", "5", "2026-01-01"),
    ("log", "prove"): _fixed("0"),
    ("log", "consistency"): lambda d: ("--since", _checkpoint(d)),
    ("subject", "show"): _fixed("customer", "4711"),
    ("log", "verify"): lambda d: (str(d.folder),),
    ("parked", "list"): _fixed(),
    ("compare", "samples"): _fixed("order-status"),
    ("reconcile", "bypasses"): _fixed(),
    ("reconcile", "list"): _fixed(),
    ("reconcile", "run"): _fixed("orders"),
    ("reconcile", "show"): _fixed("orders", "7"),
    ("writes", "list"): _fixed(),
    ("writes", "show"): lambda d: (_parked(d),),
}

NEITHER: dict[Command, str] = {
    ("reconcile", "status"): "counts",
    ("compare", "rules"): "what a file says, and counts",
    ("compare", "show"): "counts",
    ("compare", "status"): "counts",
    ("check",): "looks at settings and at what is reachable",
    ("demo",): "a deployment of its own, thrown away",
    ("doctor",): "looks at catalogs",
    ("drill", "report"): "counts",
    ("drill", "status"): "counts, and who asked for what",
    ("lanes", "list"): "counts",
    ("log", "check-proof"): "works on files alone, without a log",
    ("log", "head"): "size, root and checkpoint are published",
    ("log", "index"): "rebuilds what can be rebuilt from the log; shows counts",
    ("log", "key", "list"): "public keys are given to everybody",
    ("log", "replays"): "counts; each replay is an entry",
    ("run",): "a start is a CONFIG entry when the configuration changed",
    ("up",): "as `run`",
    ("routes", "check"): "looks at files",
    ("routes", "diff"): "looks at files",
    ("routes", "explain"): "asks files and stages what they would do with a request; sends nothing",
    ("routes", "list"): "looks at files",
    ("routes", "plan"): "looks at files and counts",
    ("routes", "schema"): "says what files may hold",
    ("source", "add"): "drafts files for a person to edit; a start under them is a CONFIG entry",
    ("source", "diff"): "needs a source and a capture: held by tests/capture/snapshot",
    ("source", "drift", "list"): "names of tables and columns",
    ("source", "snapshot", "status"): "counts, and who asked for what",
    ("status",): "counts",
    ("subject", "hold", "list"): "holds are entries; pseudonyms and classes alone",
    ("subject", "retention"): "settings",
    ("version",): "says the version",
    ("witness", "key"): "a witness is a service of somebody else",
}


def _commands() -> Iterator[tuple[Command, Any]]:
    def walk(command: Any, path: Command) -> Iterator[tuple[Command, Any]]:
        if hasattr(command, "list_commands"):
            for name in sorted(command.list_commands(None)):
                yield from walk(command.get_command(None, name), (*path, name))
        else:
            yield path, command

    return walk(typer.main.get_command(app), ())


COMMANDS = dict(_commands())


def _checkpoint(deployment: Deployment) -> str:
    said = deployment.call("log", "head", "--json").json()
    return _file(deployment, said["checkpoint"])


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """A gateway, and a source that nobody answers for."""
    deployment = Deployment(
        tmp_path,
        sources={"pgbench": {"dsn": "postgresql://127.0.0.1:1/none?connect_timeout=1"}},
        contracts={"dir": str(CONTRACTS)},
        event_log={"timestamps": {"tsa": {"url": "http://127.0.0.1:1/"}}},
    )
    # No capture answers: there is nothing to wait for.
    monkeypatch.setattr("bridge.cli.source.snapshot.ANSWER_S_MAX", 0.0)
    with deployment.stores() as stores:
        stores.keeping().store()
    return deployment


def entries(deployment: Deployment) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return leaf and payload of every entry, those that wait in the journal sequenced first."""
    with deployment.stores() as stores:
        log = stores.event_log()
        while Sequencer(stores.desk(), log).step():
            pass
        return [
            (json.loads(entry.leaf), json.loads(entry.payload)) for entry in log.read(0, 10_000)
        ]


def test_every_command_is_swept() -> None:
    tables = (ACTS, READS, NEITHER)
    for command in COMMANDS:
        assert sum(command in table for table in tables) == 1, (
            f"`legacy-bridge {' '.join(command)}` is in none of the tables: does it change "
            "something (then it needs --reason and --ticket, and leaves an entry) or show entries?"
        )
    assert {*ACTS, *READS, *NEITHER} == set(COMMANDS), "a command of the tables is gone"


@pytest.mark.parametrize("command", ACTS, ids=" ".join)
def test_what_changes_something_is_an_entry(deployment: Deployment, command: Command) -> None:
    options = {option.name for option in COMMANDS[command].params}
    assert {"reason", "ticket", "actor"} <= options
    build, outcome = ACTS[command]
    words = build(deployment)
    before = len(entries(deployment))
    for without, missing in (
        (("--ticket", "SWEEP-1"), "--reason"),
        (("--reason", "swept"), "--ticket"),
        (("--reason", "swept", "--ticket", " "), "ticket"),
    ):
        said = deployment.call(*command, *words, *without)
        assert said.code != 0
        assert missing in said.err
    assert len(entries(deployment)) == before, "no warrant, no entry"
    said = deployment.call(*command, *words, *WHY)
    if outcome == ASKED_OF_CAPTURE:
        assert said.code == 0, said.err
        with deployment.stores() as stores:
            (asked,) = stores.snapshot_requests("pgbench").latest(10)
        warrant = asked.request.warrant
        assert (warrant.actor.id, warrant.reason, warrant.ticket) == ("ana", "swept", "SWEEP-1")
        return
    found = [pair for pair in entries(deployment) if pair[0]["fields"].get("ticket") == "SWEEP-1"]
    assert found, f"it left no entry: {said.out}{said.err}"
    for leaf, payload in found:
        fields = leaf["fields"]
        assert fields["actor"] == {"id": "ana", "known": "declared", "type": "person"}
        assert fields["action"]
        assert fields["time"].endswith("Z")
        assert fields["recordedtime"].endswith("Z")
        assert payload["reason"] == "swept"
        assert "swept" not in json.dumps(leaf), "free text stands in the payload alone"
    last = found[-1][0]["fields"]
    assert last["outcome"] == outcome, said.err
    assert (said.code == 0) is (outcome == "done"), said.err
    assert ("error" in last) is (outcome != "done")


@pytest.mark.parametrize("command", READS, ids=" ".join)
def test_what_shows_the_log_is_an_entry(deployment: Deployment, command: Command) -> None:
    options = {option.name for option in COMMANDS[command].params}
    assert "actor" in options
    assert deployment.call("switch", "orders", "dual", *WHY).code == 0
    entries(deployment)
    with deployment.stores() as stores:
        HeadSigner(stores.signer(), stores.event_log()).sign()
    words = READS[command](deployment)
    before = len(entries(deployment))
    said = deployment.call(*command, *words, "--actor", "ines")
    new = [leaf for leaf, _ in entries(deployment)[before:] if leaf["kind"] == "access"]
    assert new, f"it left no entry: {said.out}{said.err}"
    fields = new[-1]["fields"]
    assert fields["actor"] == {"id": "ines", "known": "declared", "type": "person"}
    assert (fields["outcome"], fields["time"].endswith("Z")) == ("done", True)
    assert isinstance(fields["found"], int)
