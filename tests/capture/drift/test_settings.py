"""What a settings file says about drift and messages is what capture does."""

from pathlib import Path

import psycopg
import pytest

from bridge.capture.drift.policy import DriftAction
from bridge.capture.service import CaptureService
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.capture import capture_service
from bridge.runtime.wiring.capture_options import mapping_options
from bridge.runtime.wiring.stores import Stores
from tests.capture.drift.shop import story, told
from tests.capture.running import SOURCE, Running, await_position, await_streaming, cursor_of
from tests.conftest import Database
from tests.waiting import RecordingObserver, wait_until

SETTINGS = """
data_dir: {folder}/data
contracts: {{dir: {folder}/contracts, type_prefix: org.test}}
sources:
  {source}:
    dsn: '{dsn}'
    slot: {slot}
    publication: {slot}
    transactions: true
    messages: {{context_prefix: who, publish_prefixes: [app.]}}
    drift:
      policy: stop
      tables: {{public.t: park}}
      keep_unmapped: true
      catalog_interval_s: 1
"""


def write_settings(folder: Path, database: Database, text: str = SETTINGS) -> Path:
    path = folder / "bridge.yaml"
    path.write_text(text.format(folder=folder, source=SOURCE, dsn=database.dsn, slot=database.name))
    return path


def test_the_settings_reach_capture(
    database: Database, sql: psycopg.Connection, tmp_path: Path, contracts: Path
) -> None:
    sql.execute("create table t (id int primary key, name text)")
    settings = load_settings(write_settings(tmp_path, database))
    options = mapping_options(settings, SOURCE)
    assert options.drift.of("public.t") is DriftAction.PARK
    assert options.drift.of("public.other") is DriftAction.STOP
    with Stores(settings) as stores:
        observer = RecordingObserver()
        service = capture_service(stores, SOURCE, observer)
        assert isinstance(service, CaptureService)
        running = Running(service, observer)
        log = stores.event_log()
        try:
            await_streaming(running, log, "public.t")
            wait_until(lambda: "catalog" in cursor_of(log).watches, 20, "a first look")
            with sql.transaction():
                sql.execute("select pg_logical_emit_message(true, 'who', '{\"actor\": \"u-1\"}')")
                sql.execute("insert into t values (1, 'a')")
                sql.execute("select pg_logical_emit_message(true, 'app.x', 'y')")
            sql.execute("alter table t drop column name, add column more text")
            sql.execute("insert into t values (2, 'kept')")
            await_position(running, sql, log)
            wait_until(lambda: observer.notes("catalog_changed"), 20, "an early warning")
        finally:
            running.end()
        found = log.read(0, log.head().size)
        entries = [entry for entry in found if entry.kind.value != "canary"]
        begin, row, message, end = entries[:4]
        assert told(begin)["type"] == "org.test.bridge.shop.transaction.v1"
        assert told(row)["actor"]["id"] == told(message)["actor"]["id"] == "u-1"
        assert end.entry_id.endswith("-end")
        assert "drift parked" in story(log)
        (parked,) = [entry for entry in entries if entry.kind.value == "parked"]
        assert b'"more":"kept"' in parked.payload


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("policy: stop", "policy: ignore"),
        ("public.t: park", "public.t: never"),
        ("catalog_interval_s: 1", "catalog_interval_s: 0"),
        ("policy: stop", "polices: stop"),
    ],
)
def test_a_setting_that_is_none_is_refused(right: str, wrong: str, tmp_path: Path) -> None:
    nowhere = Database(name="x", dsn="postgresql://nowhere.invalid")
    with pytest.raises(ConfigInvalid, match="drift"):
        load_settings(write_settings(tmp_path, nowhere, SETTINGS.replace(right, wrong)))
