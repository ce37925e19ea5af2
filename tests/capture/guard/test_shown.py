"""What an operator sees and says: settings, `source resume`, `status`, metrics."""

import json
import logging
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bridge.capture.cursor import CaptureCursor, GapMark, format_cursor, parse_cursor
from bridge.capture.meter import StreamMeter
from bridge.capture.ports import Received
from bridge.model.change import (
    BeforeImage,
    ChangeKind,
    Relation,
    RowChange,
    TransactionPart,
)
from bridge.model.entry import CursorMove, EntryKind
from bridge.runtime.configuration.settings import GuardSettings
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.watching.metrics import render_metrics
from bridge.runtime.watching.telemetry import RunFileObserver
from bridge.runtime.wiring.stores import Stores
from tests.cli.deployment import Deployment
from tests.waiting import RecordingObserver

SOURCES = {"shop": {"dsn": "postgresql://bridge@127.0.0.1:1/shop"}}
CURSOR = CaptureCursor(system_id="7", timeline=1, end_lsn=0x5000)
GAP = GapMark(cause="slot-missing", end_lsn=None)


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path, sources=SOURCES)


def put(deployment: Deployment, cursor: CaptureCursor) -> None:
    with Stores(load_settings(deployment.config)) as stores:
        log = stores.event_log()
        stored = log.cursor("shop")
        version = stored.version if stored else 0
        log.append([], cursor=CursorMove("shop", version, format_cursor(cursor)))


def cursor_and_controls(deployment: Deployment) -> tuple[CaptureCursor, list[dict[str, Any]]]:
    with Stores(load_settings(deployment.config)) as stores:
        log = stores.event_log()
        stored = log.cursor("shop")
        assert stored is not None
        entries = log.read(0, log.head().size)
    found = [json.loads(e.leaf)["fields"] for e in entries if e.kind is EntryKind.CONTROL]
    return parse_cursor(stored.state), found


def test_a_gap_is_accepted_by_somebody_for_a_reason(deployment: Deployment) -> None:
    put(deployment, CURSOR.moved(gap=GAP))
    command = (
        "source",
        "resume",
        "shop",
        "--reason",
        "slot was dropped",
        "--ticket",
        "T-1",
        "--actor",
        "ana",
    )
    refused = deployment.call(*command)
    assert refused.code == CONFIG
    assert "changes after 0/5000 are lost (slot-missing); give --accept-gap" in refused.err
    said = deployment.call(*command, "--accept-gap", "--reread", "--json")
    assert said.code == 0, said.err
    assert said.json() == {
        "source": "shop",
        "cause": "slot-missing",
        "from_lsn": "0/5000",
        "to_lsn": None,
        "compared": None,
    }
    cursor, (before, control) = cursor_and_controls(deployment)
    assert (before["outcome"], before["error"]) == ("refused", "StepForbidden")
    assert cursor.gap is not None
    assert cursor.gap.accepted
    assert cursor.gap.reread
    assert control["actor"] == {"id": "ana", "known": "declared", "type": "person"}
    assert (control["action"], control["ticket"]) == ("gap-accept", "T-1")
    again = deployment.call(*command, "--accept-gap")
    assert again.code == CONFIG
    assert "it is accepted already" in again.err


def test_there_is_nothing_to_accept(deployment: Deployment) -> None:
    command = ("source", "resume", "shop", "--reason", "x", "--ticket", "T-1", "--accept-gap")
    assert "it was never captured" in deployment.call(*command).err
    put(deployment, CURSOR)
    assert "it has no open gap" in deployment.call(*command).err


def test_status_shows_the_gap_and_the_wal(deployment: Deployment) -> None:
    put(deployment, CURSOR.moved(gap=GAP))
    noted = {
        "wal_guard.level": 2.0,
        "wal_guard.retained_bytes": 5.0 * 2**30,
        "wal_guard.headroom_bytes": float("inf"),
        "wal_guard.left_s": 7200.0,
    }
    report(deployment, noted)
    (source,) = deployment.call("status", "--json").json()["sources"]
    assert source["gap"] == {"cause": "slot-missing", "accepted": False}
    assert source["wal"] == {
        "level": "critical",
        "retained_bytes": 5 * 2**30,
        "headroom_bytes": None,
        "left_s": 7200,
    }
    said = deployment.call("status")
    assert said.code == 1
    for words in ("5,120.0 MiB", "2.0 h", "gap (slot-missing)"):
        assert words in said.out


def test_a_critical_slot_is_not_healthy(deployment: Deployment) -> None:
    put(deployment, CURSOR)
    report(deployment, {"wal_guard.level": 1.0})
    assert deployment.call("status").code == 0
    report(deployment, {"wal_guard.level": 2.0})
    assert deployment.call("status").code == 1


def report(deployment: Deployment, last: dict[str, float]) -> None:
    """Write the run file of a capture that is alive: it is this process."""
    deployment.run_dir.mkdir(parents=True, exist_ok=True)
    body = {
        "role": "capture:shop",
        "pid": os.getpid(),
        "updated_at": time.time() + 60,
        "counts": {},
        "last": last,
    }
    (deployment.run_dir / "capture.shop.json").write_text(json.dumps(body))


def part(table: str, age_s: float, now: datetime, count: int) -> TransactionPart:
    relation = Relation(oid=1, schema="public", table=table, identity="d", columns=())
    change = RowChange(ChangeKind.CREATED, relation, None, BeforeImage.NONE, ())
    return TransactionPart(1, 2, now - timedelta(seconds=age_s), 0, [change] * count, True, 3)


def test_the_age_of_commits_becomes_a_histogram(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    observer = RunFileObserver("capture:shop", tmp_path, logging.getLogger("test.shown"))
    meter = StreamMeter("shop", observer, lambda: now)
    meter.note([Received([part("t", 0.004, now, 3), part("u", 0.3, now, 1)], None)])
    meter.note([Received([part("t", 100.0, now, 2), part("t", -5.0, now, 1)], None)])
    meter.note([Received([], 7)])
    observer.note("wal_guard", source="shop", level=1, retained_bytes=77, left_s=float("inf"))
    observer.write()
    text = render_metrics(tmp_path).decode()
    ages = "legacy_bridge_commit_to_log_seconds"
    for line in (
        f'{ages}_bucket{{le="0.005",role="capture:shop"}} 2.0',
        f'{ages}_bucket{{le="0.25",role="capture:shop"}} 2.0',
        f'{ages}_bucket{{le="0.5",role="capture:shop"}} 3.0',
        f'{ages}_bucket{{le="60.0",role="capture:shop"}} 3.0',
        f'{ages}_bucket{{le="+Inf",role="capture:shop"}} 4.0',
        f'{ages}_count{{role="capture:shop"}} 4.0',
        'legacy_bridge_captured_rows_total{role="capture:shop",table="public.t"} 6.0',
        'legacy_bridge_captured_rows_total{role="capture:shop",table="public.u"} 1.0',
        'legacy_bridge_wal_guard_retained_bytes{role="capture:shop"} 77.0',
        'legacy_bridge_wal_guard_level{role="capture:shop"} 1.0',
        'legacy_bridge_wal_guard_left_s{role="capture:shop"} +Inf',
    ):
        assert line in text, text
    assert "commit_to_log_le" not in text


def test_a_source_whose_clock_is_ahead_has_no_age() -> None:
    now = datetime.now(UTC)
    observer = RecordingObserver()
    StreamMeter("shop", observer, lambda: now).note([Received([part("t", -5.0, now, 1)], None)])
    assert observer.await_note("commit_to_log")["age_ms"] == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"warning_bytes": 2 << 30, "critical_bytes": 1 << 30},
        {"warning_left_s": 10, "critical_left_s": 20},
        {"drop_slot_bytes": 1 << 20},
        {"interval_s": 0},
        {"surprise": 1},
    ],
)
def test_limits_that_make_no_sense(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GuardSettings(**wrong)


def test_nothing_is_dropped_by_default() -> None:
    assert GuardSettings().drop_slot_bytes is None
