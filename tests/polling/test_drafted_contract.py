"""A contract that was drafted from MariaDB's catalog takes what is polled from it."""

from pathlib import Path

from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.cli.deployment import Deployment
from tests.polling.rig import Legacy
from tests.runtime.running import running
from tests.waiting import wait_until

_EVERYTHING = (
    "create table t_all (id int unsigned primary key, big bigint unsigned, tiny tinyint(1), "
    "price decimal(12,2), f double, note varchar(40), body text, kind enum('a','b'), "
    "flags set('x','y'), day date, at_local datetime(6), at_moment timestamp(6) null, "
    "clock time, raw varbinary(8), doc json, y year)"
)
_ROW = (
    "insert into t_all values (1, 18446744073709551615, 1, 12.50, 1.5, 'n', 'b', 'a', 'x,y', "
    "'2024-12-01', '2024-12-01 10:11:12.5', '2024-12-01 10:11:12.5', '10:11:12', x'00ff', "
    "'{\"a\": 1}', 2024)"
)


def test_a_row_of_every_type_passes_its_draft(maria: Legacy, tmp_path: Path) -> None:
    maria.run(_EVERYTHING, _ROW)
    (tmp_path / "contracts").mkdir()
    table = {"strategy": "full", "interval_s": 0.2}
    deployment = Deployment(
        tmp_path,
        contracts={"dir": "contracts"},
        sources={
            "shop": {
                "kind": "polling",
                "url": maria.reader_url,
                "tables": {maria.table("t_all"): table},
            }
        },
    )
    drafted = deployment.call("source", "add", "shop", "--json")
    assert drafted.code == 0, drafted
    assert [row["table"] for row in drafted.json()] == [maria.table("t_all")]
    with running(deployment, "run", "capture:shop") as capture:
        capture.await_roles("capture:shop")
        log = SqliteEventLog(tmp_path / "data" / "log.db")
        try:
            wait_until(lambda: log.head().size >= 2, 30, "the row in the log")
            entries = log.read(0, 10)
        finally:
            log.close()
    assert [entry.kind.value for entry in entries] == ["config", "event"], entries[-1].leaf
