"""`status`, `switch`, `rollback`, `lanes`, `ids`, `check`: what they print, and how they end."""

import json
import os
import time

import pytest

from bridge.model.write import WriteState
from bridge.runtime.exit_codes import CONFIG, TEMPORARY, UNAVAILABLE
from tests.cli.deployment import Deployment
from tests.cli.journalled import journalled
from tests.warrants import by

WHY = ("-r", "x", "--ticket", "T-1")


def test_status_of_a_gateway_that_is_down(deployment: Deployment) -> None:
    said = deployment.run("status")
    assert said.code == 1
    for words in ("Roles: none", "Event log: 0 entries", "orders", "catalog", "legacy"):
        assert words in said.out


def test_status_for_programs(deployment: Deployment) -> None:
    journalled(deployment, WriteState.PARKED, WriteState.APPLIED)
    said = deployment.call("status", "--json")
    assert said.code == 1
    found = said.json()
    assert found["healthy"] is False
    assert found["writes_to_decide"] == 1
    assert [group["group"] for group in found["groups"]] == ["catalog", "orders"]
    (lane,) = found["lanes"]
    assert (lane["group"], lane["towards"], lane["writes"], lane["parked"]) == (
        "orders",
        "modern",
        2,
        1,
    )


def test_status_for_people_tells_what_waits(deployment: Deployment) -> None:
    journalled(deployment, WriteState.PARKED, WriteState.IN_DOUBT)
    out = deployment.call("status").out
    assert "Waiting for the other side" in out
    assert "2 writes need a decision" in out


def report_as(deployment: Deployment, role: str, pid: int) -> None:
    """Write the run file of a role that is alive when `pid` is."""
    deployment.run_dir.mkdir(parents=True, exist_ok=True)
    body = {"role": role, "pid": pid, "updated_at": time.time() + 60, "counts": {}, "last": {}}
    (deployment.run_dir / f"{role}.json").write_text(json.dumps(body))


def test_status_is_0_when_all_is_well(deployment: Deployment) -> None:
    report_as(deployment, "control", os.getpid())
    said = deployment.call("status", "--json")
    assert said.code == 0, said.out
    assert said.json()["healthy"] is True


def test_status_is_1_when_one_role_is_down(deployment: Deployment) -> None:
    report_as(deployment, "control", os.getpid())
    report_as(deployment, "delivery", 2**22 + 1)  # Above every process id that Linux gives.
    said = deployment.call("status")
    assert said.code == 1
    assert "alive" in said.out
    assert "down" in said.out


def test_a_switch_there_and_back(deployment: Deployment) -> None:
    said = deployment.run(
        "switch", "orders", "dual", "-r", "first [step]", "--ticket", "T-1", "--json"
    )
    assert said.code == 0
    assert said.json() | {"took_ms": 0} == {
        "group": "orders",
        "from": "legacy",
        "to": "dual",
        "from_share_percent": 0.0,
        "to_share_percent": 0.0,
        "epoch": 1,
        "took_ms": 0,
        "workers": 0,
        "late": [],
    }
    assert (
        deployment.call("switch", "orders", "modern", "-r", "second step", "--ticket", "T-1").code
        == 0
    )
    back = deployment.run(
        "rollback", "orders", "-r", "prices differ", "--ticket", "T-1", "--actor", "ana"
    )
    assert back.code == 0
    assert "orders: modern → legacy, epoch 3" in back.out
    with deployment.stores() as stores:
        last = stores.desk().history()[-1].switch
    assert last.warrant == by("ana", "prices differ")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("switch", "orders", "modern", "-r", "x", "--ticket", "T-1"), CONFIG, "shadow or dual"),
        (("switch", "orders", "canary", "-r", "x", "--ticket", "T-1"), CONFIG, "a share of the"),
        (("switch", "orders", "handover", "-r", "x", "--ticket", "T-1"), CONFIG, "not built yet"),
        (
            ("switch", "orders", "dull", "-r", "x", "--ticket", "T-1"),
            CONFIG,
            "known: legacy, shadow, dual",
        ),
        (
            ("switch", "order", "dual", "-r", "x", "--ticket", "T-1"),
            CONFIG,
            "known groups are catalog, orders",
        ),
        (("switch", "catalog", "dual", "-r", "x", "--ticket", "T-1"), CONFIG, "no modern side"),
        (("switch", "orders", "dual", "-r", " ", "--ticket", "T-1"), CONFIG, "--reason is blank"),
        (
            ("switch", "orders", "dual", "-r", "x", "--ticket", "T-1", "--expected-epoch", "5"),
            TEMPORARY,
            "expected epoch 5, found 0",
        ),
        (
            ("rollback", "orders", "-r", "x", "--ticket", "T-1"),
            CONFIG,
            "cannot roll back group 'orders'",
        ),
        (
            ("lanes", "hold", "order", "-r", "x", "--ticket", "T-1"),
            CONFIG,
            "known groups are catalog, orders",
        ),
    ],
)
def test_what_cannot_be_switched(
    deployment: Deployment, arguments: tuple[str, ...], code: int, words: str
) -> None:
    said = deployment.call(*arguments)
    assert said.code == code
    assert words in said.err
    assert len(said.err.strip().splitlines()) == 1
    with deployment.stores() as stores:
        assert not stores.desk().history()


def test_lanes_are_listed_held_and_resumed(deployment: Deployment) -> None:
    journalled(deployment, WriteState.APPLIED)
    (lane,) = deployment.run("lanes", "list", "--json").json()
    assert (lane["group"], lane["towards"], lane["writes"]) == ("orders", "modern", 1)
    assert "orders" in deployment.call("lanes", "list").out
    for act, held in (("hold", True), ("resume", False)):
        assert (
            deployment.call("lanes", act, "orders", "-r", "backfill", "--ticket", "T-1").code == 0
        )
        with deployment.stores() as stores:
            state = stores.desk().group("orders")
        assert state is not None
        assert state.lanes_held is held


def test_ids_are_imported_once(deployment: Deployment) -> None:
    file = deployment.folder / "pairs.jsonl"
    file.write_text('["4711", "ord_a"]\n[4712, "ord_b"]\n')
    for new in (2, 0):
        said = deployment.run("ids", "import", "orders", "order", str(file), *WHY)
        assert said.out.startswith(f"{new} new pairs")
    with deployment.stores() as stores:
        pair = stores.journal().pair("orders", "order", "4712")
    assert pair is not None
    assert pair.modern_id == "ord_b"


@pytest.mark.parametrize(
    "line",
    [
        b"5",
        b'"ab"',
        b'{"a": 1, "b": 2}',
        b'["1"]',
        b'["1", "2", "3"]',
        b'["1", null]',
        b'["1", ""]',
        b"[1, true]",
        b"\xff\xfe",
        b"",
        b"[" * 100_000,
    ],
    ids=repr,
)
def test_a_line_that_is_no_pair_is_named(deployment: Deployment, line: bytes) -> None:
    file = deployment.folder / "pairs.jsonl"
    file.write_bytes(b'["4711", "ord_a"]\n' + line + b"\n")
    said = deployment.refused("ids", "import", "orders", "order", str(file), *WHY)
    assert "line 2 is not a pair" in said


def test_ids_of_a_group_that_nobody_knows(deployment: Deployment) -> None:
    file = deployment.folder / "pairs.jsonl"
    file.write_text('["4711", "ord_a"]\n')
    said = deployment.refused("ids", "import", "order", "order", str(file), *WHY)
    assert "known groups are catalog, orders" in said


def test_ids_from_a_file_that_is_not_there(deployment: Deployment) -> None:
    assert "No such file" in deployment.refused(
        "ids", "import", "orders", "order", "/no/file", *WHY
    )


def test_ids_that_contradict_what_is_known(deployment: Deployment) -> None:
    file = deployment.folder / "pairs.jsonl"
    file.write_text('["4711", "ord_a"]\n["4711", "ord_b"]\n')
    said = deployment.refused("ids", "import", "orders", "order", str(file), *WHY)
    assert "contradicts" in said
    assert "ord_b" not in said


def test_check_finds_all_well(deployment: Deployment) -> None:
    said = deployment.call("check", "--json")
    assert said.code == 0, said.out
    assert {found["what"] for found in said.json()} == {
        "data folder", "disk", "routes", "gateway port", "control", "ports", "write journal",
    }  # fmt: skip
    assert deployment.call("check").code == 0


def test_check_finds_a_problem(deployment: Deployment) -> None:
    deployment.settings["gateway"]["port"] = deployment.control_port
    deployment.write()
    said = deployment.call("check")
    assert said.code == CONFIG
    assert f"both {deployment.control_port}" in said.out


@pytest.mark.parametrize("name", ["log.db", "journal.db"])
def test_a_store_that_is_no_database_is_told(deployment: Deployment, name: str) -> None:
    deployment.run_dir.mkdir(parents=True)
    (deployment.folder / "data" / name).write_bytes(b"not a database" * 400)
    assert "file is not a database" in deployment.refused("status")


def test_a_data_folder_that_cannot_be_made(deployment: Deployment) -> None:
    (deployment.folder / "data").write_text("a file")
    for command in (["status"], ["up"], ["up", "--skip-preflight"], ["run", "gateway"]):
        assert "cannot use data_dir" in deployment.refused(*command)


def test_a_settings_file_with_an_impossible_date(deployment: Deployment) -> None:
    deployment.config.write_text("log_level: 2024-13-45\n")
    assert "put it in quotes" in deployment.refused("status")


def test_an_event_log_that_is_away(deployment: Deployment) -> None:
    deployment.settings["event_log"] = {"url": "postgresql://ana:hunter2@127.0.0.1:1/log"}
    deployment.write()
    said = deployment.call("status")
    assert said.code == UNAVAILABLE
    assert len(said.err.strip().splitlines()) == 1
    assert "hunter2" not in said.err
