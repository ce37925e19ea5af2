"""`log replay` into files, and what it refuses; every attempt is in the log."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from bridge.delivery.replay.job import JobState
from bridge.model.entry import EntryDraft, EntryKind
from bridge.runtime.wiring.replays import replay_jobs
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.cli.deployment import Deployment
from tests.delivery.events import ROUTING_KEY

WHY = ("--reason", "lost the table", "--ticket", "INC-7", "--actor", "ana")
COUNT = 60


def draft(number: int) -> EntryDraft:
    routing_key = ROUTING_KEY if number % 3 else "shop.customer.created.v1"
    return EntryDraft(
        kind=EntryKind.EVENT,
        entry_id=f"shop:{number:08X}",
        fields={"time": f"2026-03-01T10:00:{number:02d}.000000Z"},
        payload=b'{"id":"%d","note":"canary-of-a-payload"}' % number,
        routing_key=routing_key,
        partition_key=json.dumps({"order_id": number % 5}, separators=(",", ":")),
        entity=f"{number % 5:032x}",
    )


@pytest.fixture
def logged(tmp_path: Path) -> Deployment:
    made = Deployment(tmp_path, delivery={"url": "amqp://127.0.0.1:1"})
    with made.stores() as stores:
        stores.event_log().append([draft(number) for number in range(COUNT)])
    return made


def entries(deployment: Deployment) -> list[dict[str, Any]]:
    with deployment.stores() as stores:
        found = stores.event_log().read(0, 10_000)
    return [json.loads(each.leaf)["fields"] for each in found if each.kind is EntryKind.REPLAY]


def numbers(path: Path) -> list[int]:
    return [int(json.loads(line)["id"]) for line in path.read_bytes().splitlines()]


def test_everything_into_a_file_with_what_it_is(logged: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    told = logged.call("log", "replay", "--to-file", str(path), "--json", *WHY).json()
    assert (told["state"], told["sent"], told["start"], told["stop"]) == ("done", COUNT, 0, COUNT)
    assert numbers(path) == list(range(COUNT))
    assert path.read_bytes().splitlines()[7] == draft(7).payload, "byte for byte"
    described = json.loads((tmp_path / "all.jsonl.replay.json").read_text())
    assert described["replay"] == told["replay"]
    assert described["lines"] == COUNT
    assert described["sha256"] == sha256(path.read_bytes()).hexdigest()


def test_asking_and_end_are_entries_without_values(logged: Deployment, tmp_path: Path) -> None:
    key = '{"order_id": 3}'
    said = logged.call(
        "log", "replay", "--to-file", str(tmp_path / "f"), "--key", key, "--type", "shop.order.#",
        "--from", "10", "--to", "50", *WHY,
    )  # fmt: skip
    assert said.code == 0, said.err
    start, end = entries(logged)
    assert (start["action"], start["outcome"], start["sent"]) == ("replay-start", "done", 0)
    assert (end["action"], end["outcome"]) == ("replay-end", "done")
    wanted = [number for number in range(10, 50) if number % 5 == 3 and number % 3]
    assert numbers(tmp_path / "f") == wanted
    assert (end["sent"], end["start"], end["stop"]) == (len(wanted), 10, 50)
    assert (end["keys"], end["entities"]) == (1, [f"{3:032x}"])
    assert end["types"] == ["shop.order.#"]
    assert (end["actor"]["id"], end["ticket"]) == ("ana", "INC-7")
    assert "order_id" not in json.dumps(end)


def test_a_span_of_time(logged: Deployment, tmp_path: Path) -> None:
    said = logged.call(
        "log", "replay", "--to-file", str(tmp_path / "f"),
        "--since", "2026-03-01T10:00:20Z", "--until", "2026-03-01T19:00:30+09:00", *WHY,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert numbers(tmp_path / "f") == list(range(20, 30))


def test_a_replay_that_failed_is_recorded_and_gone_on_with(
    logged: Deployment, tmp_path: Path
) -> None:
    path = tmp_path / "f"
    logged.call("log", "replay", "--to-file", str(path), *WHY)
    with logged.stores() as stores:
        jobs = replay_jobs(stores)
        (done,) = jobs.all()
        # As a crash leaves it: less is kept than what is in the file.
        jobs.store(replace(done, state=JobState.OPEN, next_index=40, sent=40))
    path.rename(tmp_path / "away")
    said = logged.refused("log", "replay", "--resume", done.replay_id, *WHY)
    assert "No such file" in said
    (tmp_path / "away").rename(path)
    told = logged.call("log", "replay", "--resume", done.replay_id, "--json", *WHY).json()
    assert (told["state"], told["sent"]) == ("done", COUNT)
    assert numbers(path) == list(range(COUNT))
    actions = [(each["action"], each["outcome"]) for each in entries(logged)]
    assert actions == [
        ("replay-start", "done"), ("replay-end", "done"),
        ("replay-resume", "done"), ("replay-end", "refused"),
        ("replay-resume", "done"), ("replay-end", "done"),
    ]  # fmt: skip
    assert "all of it was sent" in logged.refused("log", "replay", "--resume", done.replay_id, *WHY)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give one of --to-queue, --to-file"),
        (("--to-file", "f", "--to-queue", "orders"), "give one of"),
        (("--to-queue", "Not A Group"), "no name of a group"),
        (("--to-file", "f", "--from", "60"), "the log has entries 0 to 60"),
        (("--to-file", "f", "--to", "61"), "the log has entries 0 to 60"),
        (("--to-file", "f", "--from", "9", "--to", "9"), "the log has entries"),
        (("--to-file", "f", "--since", "noon"), "cannot read the time"),
        (("--to-file", "absent/folder/f"), "No such file"),
        (("--resume", "absent"), "cannot find replay 'absent'"),
        (("--resume", "../../bridge"), "no id of a replay"),
        (("--resume", "x", "--from", "3"), "takes no other choice"),
    ],
)
def test_what_cannot_be_is_refused_and_recorded(
    logged: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...],
    why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert why in logged.refused("log", "replay", *arguments, *WHY)
    (entry,) = entries(logged)
    assert (entry["action"], entry["outcome"]) == ("replay", "refused")
    assert not (tmp_path / "f").exists()


def test_a_file_that_is_there_is_not_touched(logged: Deployment, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("mine")
    assert "File exists" in logged.refused("log", "replay", "--to-file", str(tmp_path / "f"), *WHY)
    assert (tmp_path / "f").read_text() == "mine"


def test_reason_and_ticket_are_mandatory(logged: Deployment, tmp_path: Path) -> None:
    assert logged.call("log", "replay", "--to-file", str(tmp_path / "f"), *WHY[:2]).code != 0
    assert logged.call("log", "replay", "--to-file", str(tmp_path / "f"), *WHY[2:]).code != 0
    assert not (tmp_path / "f").exists()


def test_replays_are_listed(logged: Deployment, tmp_path: Path) -> None:
    assert logged.call("log", "replays").out.strip() == "Replays: none"
    logged.call("log", "replay", "--to-file", str(tmp_path / "f"), "--to", "9", *WHY)
    (told,) = logged.call("log", "replays", "--json").json()
    assert (told["state"], told["sent"], told["target"]) == ("done", 9, f"file {tmp_path / 'f'}")
    assert told["replay"] in logged.call("log", "replays").out


def test_a_range_that_was_pruned_is_refused(
    logged: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteEventLog, "first_index", lambda _self: 20)
    said = logged.refused("log", "replay", "--to-file", str(tmp_path / "f"), "--from", "3", *WHY)
    assert "entries before 20 were pruned" in said
    told = logged.call("log", "replay", "--to-file", str(tmp_path / "f"), "--json", *WHY).json()
    assert told["start"] == 20
