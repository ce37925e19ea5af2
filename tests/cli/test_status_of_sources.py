"""`status`: how far the reading of a source's tables is, and the index of the log."""

import re
from pathlib import Path

import pytest

from bridge.capture.cursor import CaptureCursor, SnapshotMark, TableMark, format_cursor
from bridge.model.entry import CursorMove
from tests.cli.deployment import Deployment
from tests.eventlog.drafts import drafts


@pytest.mark.parametrize(
    ("table", "paused", "said"),
    [
        (None, False, "1"),
        (TableMark(table="public.t_ord", after=None), False, "1, public.t_ord"),
        (
            TableMark(table="public.t_ord", after=("7",), row_count=34, row_estimate=100),
            True,
            "1, public.t_ord 34%, paused",
        ),
        (
            TableMark(table="public.t_ord", after=("7",), row_count=340, row_estimate=100),
            False,
            "1, public.t_ord 100%",
        ),
    ],
)
def test_a_reading_tells_how_far_it_is(
    tmp_path: Path, table: TableMark | None, paused: bool, said: str
) -> None:
    deployment = Deployment(tmp_path, sources={"shop": {"dsn": "postgresql://nowhere/shop"}})
    mark = SnapshotMark(done=("public.t_cust",), table=table, paused=paused)
    cursor = CaptureCursor(system_id="7", timeline=1, end_lsn=16, snapshot=mark)
    with deployment.stores() as stores:
        stores.event_log().append([], cursor=CursorMove("shop", 0, format_cursor(cursor)))
    lines = deployment.call("status").out.splitlines()
    (row,) = [line for line in lines if "0/10" in line]
    assert said in [cell.strip() for cell in row.split("│")]


def test_searches_say_how_far_they_see(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    with deployment.stores() as stores:
        stores.event_log().append(drafts(0, 1_200))
    assert "no index" in deployment.call("status").out
    assert deployment.call("log", "index", "--update").code == 0
    with deployment.stores() as stores:
        assert stores.event_log().head().size >= 1_200
        stores.event_log().append(drafts(1_200, 2_500))
    said = deployment.call("status").out
    behind = re.search(r"index ([\d,]+) behind", said)
    assert behind is not None, said
    assert int(behind[1].replace(",", "")) >= 1_300
