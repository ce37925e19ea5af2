"""From MariaDB to a consumer: the roles as processes, a real contract, a real broker."""

import json
import shutil
from pathlib import Path

import pytest

from bridge.demo.places import data_root
from bridge.model.entry import EntryKind
from bridge.storage.event_log.sqlite import SqliteEventLog
from tests.cli.deployment import Deployment
from tests.delivery.queues import await_indices, consuming
from tests.polling.rig import Legacy
from tests.runtime.running import running
from tests.waiting import wait_until

CONTRACT = "shop.stock/1.0"


def _deployment(maria: Legacy, broker_url: str, folder: Path) -> Deployment:
    contract = folder / "contracts" / CONTRACT
    shutil.copytree(data_root() / "contracts" / CONTRACT, contract)
    mapping = contract / "mapping.yaml"
    mapping.write_text(mapping.read_text().replace("public.t_stk", maria.table("t_stk")))
    maria.run(
        "create table t_stk (wh_cd char(3), prd_cd varchar(12), qty int, rsv_qty int, "
        "upd_ts datetime(6), primary key (wh_cd, prd_cd))",
        "insert into t_stk values ('TYO', 'TEA-100', 5, 0, now(6))",
    )
    table = {
        "strategy": "keyset",
        "column": "upd_ts",
        "zone": "UTC",
        "interval_s": 0.1,
        "deletes": "compare",
        "compare_interval_s": 0.3,
    }
    return Deployment(
        folder,
        contracts={"dir": "contracts"},
        sources={
            "shop": {
                "kind": "polling",
                "url": maria.reader_url,
                "tables": {maria.table("t_stk"): table},
            }
        },
        delivery={"url": broker_url, "groups": [{"name": "stock", "bind": ["shop.stock.#"]}]},
    )


@pytest.mark.long
def test_a_row_of_mariadb_reaches_a_consumer(
    maria: Legacy, broker_url: str, tmp_path: Path
) -> None:
    deployment = _deployment(maria, broker_url, tmp_path)
    looked = deployment.call("doctor", "--json")
    assert looked.code == 0, looked
    (source,) = looked.json()["sources"]
    assert {one["level"] for one in source["findings"]} <= {"ok", "notice"}
    with running(deployment, "run", "delivery") as delivery:
        delivery.await_roles("delivery")
        with running(deployment, "run", "capture:shop") as capture:
            capture.await_roles("capture:shop")
            log = SqliteEventLog(tmp_path / "data" / "log.db")

            def events() -> list[int]:
                """Return where events are, among entries of how the roles began."""
                found = log.read(0, 100)
                return [each.leaf_index for each in found if each.kind is EntryKind.EVENT]

            wait_until(lambda: len(events()) == 1, 30, "the first reading")
            maria.run(
                "update t_stk set qty = 4, upd_ts = now(6)",
                "insert into t_stk values ('OSA', 'TEA-100', 7, 1, now(6))",
            )
            wait_until(lambda: len(events()) == 3, 30, "the changes")
            maria.run("delete from t_stk where wh_cd = 'OSA'")
            wait_until(lambda: len(events()) == 4, 30, "the delete")
            with consuming(broker_url, "c.stock") as taken:
                await_indices(taken, set(events()))
            assert capture.stop() == 0
        shown = json.loads(deployment.call("status", "--json").out)
    log.close()
    bodies = [json.loads(message.body) for message in taken]
    kinds = [body["type"].split(".")[-2] for body in bodies]
    assert (kinds[0], kinds[-1]) == ("read", "deleted")
    assert sorted(kinds[1:3]) == ["created", "updated"]
    last = {one["data"]["key"]["warehouse"]: one["data"] for one in bodies}
    assert last["TYO"]["after"]["on_hand"] == 4
    assert last["OSA"]["key"] == {"warehouse": "OSA", "sku": "TEA-100"}
    assert all(body["capture"] == "poll" for body in bodies)
    (source,) = shown["sources"]
    assert source["tables_read"] == 1
    assert source["version"] >= 3  # Two rows may come with one look.
