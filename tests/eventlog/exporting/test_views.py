"""Views: what people open says what the payloads say, in each format and every tool."""

import csv
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pandas
import pytest

from bridge.eventlog.exporting.entry_lines import SelectedEntry
from bridge.eventlog.exporting.export import ExportReport
from bridge.eventlog.exporting.order import View
from bridge.eventlog.exporting.views.csv_text import CELL_CHARACTERS_MAX
from bridge.eventlog.exporting.views.csv_view import CsvView
from bridge.eventlog.exporting.views.rows import read_row
from bridge.eventlog.exporting.views.view_files import Tables
from bridge.model.errors import ConfigInvalid
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.exporting.orders import (
    TOKYO,
    check_verifies,
    make_bundle,
    make_means,
    make_signer,
)
from tests.eventlog.exporting.shop_log import (
    CONTRACTS,
    LOCAL_TIME,
    NOTES,
    PLAINTEXT,
    TIME,
    StandInOpener,
    shop_log,
)

# What DuckDB makes of a file's columns.
TYPES = """
SELECT column_name AS name, column_type AS type FROM (DESCRIBE SELECT * FROM read_parquet(?))
"""

GUARDED = "=+@\t＝"  # noqa: RUF001 - Full width is meant.


class Shop(NamedTuple):
    """A bundle of the shop's log with all views."""

    report: ExportReport
    views: Path
    payloads: list[dict[str, Any]]

    def csv_rows(self, table: str) -> list[dict[str, str]]:
        with (self.views / f"csv/{table}.csv").open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    folder = tmp_path_factory.mktemp("shop")
    log, signer = shop_log(), make_signer(folder)
    means = make_means(log, signer, contracts=CONTRACTS, opener=StandInOpener())
    report = make_bundle(
        log, signer, folder / "bundle", means=means, views=tuple(View), disclose=True
    )
    lines = (report.folder / "payloads.jsonl").read_bytes().splitlines()
    return Shop(report, report.folder / "views", [json.loads(line) for line in lines])


def test_the_bundle_verifies_with_contracts_and_what_was_disclosed(shop: Shop) -> None:
    check_verifies(shop.report.folder, shop.report.keys[0])
    kept = shop.report.folder / "contracts/shop.order/1.0"
    assert (kept / "schema.json").read_bytes() == CONTRACTS("shop.order", "1.0")["schema.json"]
    assert (kept / "examples").is_dir()
    assert shop.report.missing_contracts == ("urn:legacy-bridge:contract:shop.unknown:1.0",)
    (line,) = (shop.report.folder / "disclosed.jsonl").read_bytes().splitlines()
    assert json.loads(line)["item"] == 0


def test_csv_is_as_spreadsheets_want_it(shop: Shop) -> None:
    data = (shop.views / "csv/shop.order-1.0.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfindex,kind,id,op,time_utc,time_local,zone,")
    assert data.endswith(b"\r\n")
    rows = shop.csv_rows("shop.order-1.0")
    assert (rows[0]["time_utc"], rows[0]["time_local"]) == (TIME.format(0), LOCAL_TIME.format(0))
    assert rows[0]["zone"] == "Asia/Tokyo"
    # No cell that a spreadsheet would run; a number stays a number.
    cells = [cell for row in rows for cell in row.values() if cell]
    assert not [cell for cell in cells if cell[0] in GUARDED]
    assert rows[5]["after.note"] == "-12.50"


def test_csv_says_what_the_payloads_say(shop: Shop) -> None:
    rows = shop.csv_rows("shop.order-1.0")
    assert len(rows) == len(NOTES) + 2
    for note, row, payload in zip(NOTES, rows, shop.payloads, strict=False):
        after = payload["data"]["after"]
        assert row["after.order_id"] == str(after["order_id"])
        assert row["after.total"] == after["total"]
        assert row["after.gift"] == ("true" if after["gift"] else "false")
        assert row["after.shipped_at"] == ""
        if note and note[0] in GUARDED:
            assert row["after.note"] == "'" + note
        elif note and len(note) > CELL_CHARACTERS_MAX:
            assert len(row["after.note"]) == CELL_CHARACTERS_MAX
            assert row["after.note"].endswith("[cut: 40,000 characters; whole in payloads.jsonl]")
        else:
            assert row["after.note"] == (note or "")
    assert shop.report.cut_cells == 1


def test_what_no_column_is_declared_for_is_kept(shop: Shop) -> None:
    parked, sealed = shop.csv_rows("shop.order-1.0")[-2:]
    assert parked["kind"] == "parked"
    assert json.loads(parked["other"])["after.colour"] == "red"
    assert parked["after.total"] == "12.5"
    assert sealed["after.note"] == "a person's secret"
    (unknown,) = shop.csv_rows("shop.unknown-1.0")
    assert '"data.big":12345678901234567890' in unknown["other"]
    assert '"data.amount":1.1,' in unknown["other"]
    route, started = shop.csv_rows("records")
    assert (route["action"], route["reason"]) == ("switch", "go-live")
    assert json.loads(route["other"]) == {
        "action": "switch", "reason": "go-live", "from": "legacy", "to": "shadow"
    }  # fmt: skip
    assert (started["actor_id"], started["ticket"]) == ("ana", "AUDIT-7")


def test_entries_csv_has_every_selected_entry(shop: Shop) -> None:
    rows = shop.csv_rows("entries")
    assert [int(row["index"]) for row in rows] == list(range(len(NOTES) + 5))
    assert rows[0]["contract"] == "shop.order"
    assert rows[0]["entity"] == "f00"
    assert json.loads(rows[0]["fields"])["legacy"]["lsn"] == "0/16"


def test_null_and_empty_text_differ_in_csv(shop: Shop) -> None:
    data = (shop.views / "csv/shop.order-1.0.csv").read_bytes()
    lines = data.decode("utf-8-sig").split("\r\n")
    assert ",,2024-12-01T10:11:12," in lines[1]  # null
    assert ',"",2024-12-01T10:11:12,' in lines[2]  # a text without characters


def test_pandas_reads_csv_and_parquet_alike(shop: Shop) -> None:
    table = pandas.read_csv(
        shop.views / "csv/shop.order-1.0.csv", dtype={"after.total": str, "after.order_id": str}
    )
    typed = pandas.read_parquet(shop.views / "parquet/shop.order-1.0.parquet")
    assert list(table.columns) == list(typed.columns)
    totals = [payload["data"]["after"]["total"] for payload in shop.payloads[: len(NOTES)]]
    assert list(table["after.total"])[: len(NOTES)] == totals
    assert list(typed["after.total"])[: len(NOTES)] == totals
    assert list(typed["after.note"])[1 : len(NOTES)] == list(NOTES[1:])
    assert pandas.isna(typed["after.note"][0])


def test_parquet_is_typed_and_loses_nothing(shop: Shop) -> None:
    path = (shop.views / "parquet/shop.order-1.0.parquet").as_posix()
    with duckdb.connect() as database:
        types = dict(database.execute(f"SELECT name, type FROM ({TYPES})", [path]).fetchall())
        columns = ", ".join(f'"{name}"' for name in types if name != "time_utc")
        asked = f"SELECT {columns}, epoch_us(time_utc) FROM read_parquet(?) ORDER BY index"
        found = database.execute(asked, [path]).fetchall()
    assert types["index"] == types["after.order_id"] == "BIGINT"
    assert types["after.gift"] == "BOOLEAN"
    assert types["after.ordered_at"] == types["time_local"] == "TIMESTAMP"
    assert types["time_utc"] == "TIMESTAMP WITH TIME ZONE"
    assert types["after.total"] == "VARCHAR"
    names = [*(name for name in types if name != "time_utc"), "time_utc"]
    rows = [dict(zip(names, row, strict=True)) for row in found]
    assert rows[0]["after.ordered_at"] == datetime.fromisoformat("2024-12-01T10:11:12.345678")
    moment = datetime.fromisoformat(TIME.format(0)).astimezone(UTC)
    assert rows[0]["time_utc"] == int(moment.timestamp() * 1_000_000)
    assert rows[0]["time_local"] == datetime.fromisoformat(LOCAL_TIME.format(0) + ".25")
    parked = rows[-2]
    # What does not fit its column's type stands beside it, as it was.
    assert (parked["after.total"], parked["after.order_id"]) == (None, None)
    assert json.loads(parked["other"]) == {
        "sequence": f"{50:016}", "after.colour": "red", "after.total": 12.5,
        "after.order_id": "not a number",
    }  # fmt: skip


def test_jsonl_has_the_flattened_event(shop: Shop) -> None:
    lines = (shop.views / "entries.jsonl").read_bytes().splitlines()
    first, unknown, sealed = (json.loads(lines[at]) for at in (0, len(NOTES) + 1, len(NOTES) + 3))
    assert first["after.total"] == "05600.10"
    assert (first["index"], first["kind"], first["zone"]) == (0, "event", "Asia/Tokyo")
    assert "after.note" not in first
    assert unknown["data.big"] == 12345678901234567890
    assert sealed["after.note"] == "a person's secret"
    with duckdb.connect() as database:
        path = (shop.views / "entries.jsonl").as_posix()
        counted = database.execute("SELECT count(*), max(index) FROM read_json(?)", [path])
        assert counted.fetchone() == (len(lines), len(lines) - 1)


def test_without_disclosure_what_is_sealed_stays_hidden(tmp_path: Path) -> None:
    log, signer = shop_log(), make_signer(tmp_path)
    means = make_means(log, signer, contracts=CONTRACTS, opener=StandInOpener())
    report = make_bundle(log, signer, tmp_path / "bundle", means=means, views=tuple(View))
    secret = PLAINTEXT[-20:-4]
    assert not [path for path in report.folder.rglob("*")
                if path.is_file() and secret in path.read_bytes()]  # fmt: skip
    check_verifies(report.folder, report.keys[0])


def test_disclosure_needs_keys(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="no keys"):
        make_bundle(MemoryEventLog(), make_signer(tmp_path), tmp_path / "bundle", disclose=True)


def test_long_tables_have_several_files(tmp_path: Path) -> None:
    log = shop_log()
    writer = CsvView(tmp_path, rows_max=5)
    tables = Tables(tmp_path)
    for entry in log.read(0, 100):
        row = read_row(SelectedEntry(entry.leaf_index, entry.leaf, entry.payload), TOKYO)
        writer.add(row, tables.of(row))
    files = dict(writer.finish())
    assert [files[f"views/csv/entries{part}.csv"].records for part in ("", ".2", ".3", ".4")] == [
        5, 5, 5, 1,
    ]  # fmt: skip
    headers = {(tmp_path / f"views/csv/entries{part}.csv").read_bytes().split(b"\r\n")[0]
               for part in ("", ".2", ".3", ".4")}  # fmt: skip
    assert len(headers) == 1


def test_parquet_without_its_package_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    log = shop_log()
    with pytest.raises(ConfigInvalid, match=r"pyarrow is not installed.*legacy-bridge\[parquet\]"):
        make_bundle(log, make_signer(tmp_path), tmp_path / "bundle", views=(View.PARQUET,))
    assert not list(tmp_path.glob("*bundle*"))
