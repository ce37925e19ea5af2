"""`status`: how far the reading of a source's tables is."""

from pathlib import Path

import pytest

from bridge.capture.cursor import CaptureCursor, SnapshotMark, TableMark, format_cursor
from bridge.model.entry import CursorMove
from tests.cli.deployment import Deployment


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
