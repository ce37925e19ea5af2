"""A spike against a slow legacy application, through real processes that are killed."""

import threading
from pathlib import Path

import pytest

from bridge.model.stage import Stage
from bridge.model.write import WriteState
from bridge.runtime.wiring.stores import Stores
from tests.cli.deployment import Deployment
from tests.gateway.ingress.client import KEYS, Clients
from tests.gateway.ingress.legacy import SlowLegacy
from tests.runtime.running import Running, running
from tests.waiting import wait_until
from tests.warrants import by

CONCURRENCY = 8
ROUTE = """
group: orders
sides: {legacy: legacy-app, modern: modern-orders}
routes:
  - {id: order-status, methods: [PUT], path: "/orders/{order_id}/status", writes: true,
     key: {path: order_id, entity: order}, ingress: {mode: preferred, concurrency: 8}}
"""


def _deployment(folder: Path, legacy: SlowLegacy, journal: str) -> Deployment:
    made = Deployment(folder)
    (folder / "routes" / "orders.yaml").write_text(ROUTE)
    made.settings["gateway"]["journal"] = journal
    made.settings["gateway"]["upstreams"]["legacy-app"]["url"] = f"http://127.0.0.1:{legacy.port}"
    del made.settings["control"]
    made.write()
    return made


def _started(up: Running, clients: Clients) -> None:
    up.await_roles("gateway:0", "replay")
    wait_until(lambda: "queue_sender_started" in up.log.read_text(), timeout_s=60)
    assert clients.ask("GET", "/-/async/nobody").status == 404


def _in_order(legacy: SlowLegacy) -> bool:
    for key in range(KEYS):
        mine = [body for target, _, body in legacy.got if target == b"/orders/%d/status" % key]
        turns = [int(body.split(b"-")[1]) for body in mine]
        if turns != sorted(turns):
            return False
    return True


def _resolve_doubts(stores: Stores, legacy: SlowLegacy) -> None:
    """Find out, as a person would, what became of writes that a killed process had under way."""
    arrived = {body for _, _, body in legacy.got}
    for write in stores.desk().list_writes(state=WriteState.IN_DOUBT):
        there = write.intent.request.body in arrived
        outcome = WriteState.APPLIED if there else WriteState.FAILED
        stores.desk().resolve(write.intent.intent_id, outcome, warrant=by("ana", "looked"))


def test_a_spike_reaches_a_slow_legacy_at_the_declared_concurrency(tmp_path: Path) -> None:
    with SlowLegacy(0.005) as legacy:
        deployment = _deployment(tmp_path, legacy, "sqlite")
        with (
            running(deployment, "up", "--skip-preflight") as up,
            Clients(deployment.gateway_port) as clients,
        ):
            _started(up, clients)
            locations = clients.spike(1_000)
            assert len(set(locations.values())) == 1_000
            assert set(clients.await_end(locations).values()) == {303}
            assert legacy.most <= CONCURRENCY
            assert len(legacy.got) == 1_000
            assert _in_order(legacy)
            for body, location in locations.items():
                result = clients.ask("GET", f"{location}/result")
                assert (result.status, result.body) == (201, body.encode())
            for turn in range(3):
                assert clients.ask("PUT", "/orders/7/status", f"last-{turn}").status == 202
            assert clients.ask("PUT", "/orders/7/status", "sync", at_once=True).status == 201
            # A plain write is sent after those of its key that came before it.
            last = [body for _, _, body in legacy.got[1_000:]]
            assert last == [b"last-0", b"last-1", b"last-2", b"sync"]


@pytest.mark.soak
@pytest.mark.parametrize(
    ("stage", "store"),
    [
        (Stage.DUAL, "sqlite"),
        (Stage.LEGACY, "sqlite"),
        (Stage.DUAL, "postgres"),
    ],
)
def test_a_spike_whose_processes_are_killed_is_sent_once(
    tmp_path: Path, store: str, stage: Stage, request: pytest.FixtureRequest
) -> None:
    journal = "sqlite" if store == "sqlite" else request.getfixturevalue("journal_dsn")
    with SlowLegacy(0.005) as legacy:
        deployment = _deployment(tmp_path, legacy, journal)
        with deployment.stores() as stores:
            stores.desk()
            if stage is Stage.DUAL:
                stores.desk().switch("orders", stage, expected_epoch=0, warrant=by("t", "t"))
        with (
            running(deployment, "up", "--skip-preflight") as up,
            Clients(deployment.gateway_port) as clients,
        ):
            _started(up, clients)
            found: dict[str, str] = {}
            spike = threading.Thread(target=lambda: found.update(clients.spike(300)))
            spike.start()
            wait_until(lambda: len(legacy.got) > 30, timeout_s=30)
            up.kill("replay")
            up.kill("gateway:0")
            spike.join()
            with deployment.stores() as stores:
                ended = clients.await_end(found, lambda: _resolve_doubts(stores, legacy))
            assert len(ended) == 300
            assert set(ended.values()) <= {303, 504}
            bodies = [body for _, _, body in legacy.got]
            assert len(bodies) == len(set(bodies)), "one was sent twice"
            done = {body.encode() for body, status in ended.items() if status == 303}
            assert done <= set(bodies)
            assert _in_order(legacy)
