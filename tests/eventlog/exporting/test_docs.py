"""What docs/exporting.md tells people to run, runs on a bundle and finds what is in it."""

import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from bridge.eventlog.exporting.order import View
from tests.eventlog.exporting.orders import make_bundle, make_means, make_signer
from tests.eventlog.exporting.shop_log import CONTRACTS, NOTES, order, shop_log

PAGE = Path(__file__).parents[3] / "docs" / "exporting.md"
# Orders that fit their contract; the sealed one is the last of them.
TOTALS = [order(number, None)["after"]["total"] for number in [*range(len(NOTES)), 60]]


def blocks(language: str) -> list[str]:
    """Return the page's blocks in a language."""
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("docs")
    log, signer = shop_log(), make_signer(folder)
    means = make_means(log, signer, contracts=CONTRACTS)
    make_bundle(log, signer, folder / "bundle", means=means, views=tuple(View))
    return (folder / "bundle").as_posix()


def test_the_duckdb_statements_run(bundle: str) -> None:
    by_day, from_csv, payloads = blocks("sql")
    with duckdb.connect() as database:

        def answer(statement: str) -> list[tuple[Any, ...]]:
            return database.execute(statement.replace("BUNDLE", bundle)).fetchall()

        ((day, count, total),) = answer(by_day)
        # The night in Tokyo, not the afternoon in UTC.
        assert (day.isoformat(), count) == ("2026-11-22", len(TOTALS))
        assert total == sum(map(Decimal, TOTALS))
        rows = answer(from_csv)
        assert [row[2] for row in rows[: len(NOTES)]] == TOTALS[:-1]
        assert [row[3] for row in rows[:3]] == [True, False, False]
        assert [row[0] for row in answer(payloads)][: len(NOTES)] == TOTALS[:-1]


def test_the_pandas_programs_run(bundle: str) -> None:
    parquet, from_csv, flat = blocks("python")
    said: dict[str, Any] = {}
    exec(parquet.replace("BUNDLE", bundle), said)  # noqa: S102 - Our own page.
    assert said["joined"]["type"][0] == "com.example.shop.order.updated.v1"
    said = {}
    exec(from_csv.replace("BUNDLE", bundle), said)  # noqa: S102 - Our own page.
    assert list(said["totals"])[: len(NOTES)] == list(map(Decimal, TOTALS[:-1]))
    said = {}
    exec(flat.replace("BUNDLE", bundle), said)  # noqa: S102 - Our own page.
    assert list(said["flat"]["after.total"])[: len(NOTES)] == TOTALS[:-1]
