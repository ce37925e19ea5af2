"""A switch changes the whole table between two requests, never within one."""

import asyncio
import dataclasses
import threading
from functools import partial

from bridge.model.errors import StorageUnavailable
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.http.rig import BOTH, Gateway, RecordingWritePath, ports, route
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import DEADLINE_S, GET, Message, Wire
from tests.waiting import wait_until

PUT = b"PUT /orders/7 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"


def named(name: bytes) -> Upstream:
    """An upstream that says who it is."""
    upstream = Upstream()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(name), name)
    upstream.at[b"/orders/7"] = upstream.at[b"/first"] = replies(answer)
    upstream.at[b"/second"] = replies(answer)
    return upstream


def test_reads_and_writes_follow_the_stage() -> None:
    legacy, modern = named(b"legacy"), named(b"modern")
    path = RecordingWritePath()
    gateway = Gateway({"legacy": legacy.port, "modern": modern.port}, write_path=path)
    gateway.routes = (
        route("write", "/orders/{id}", b"PUT", group="orders", writes=True, upstreams=BOTH),
        route("read", "/orders/{id}", b"GET", group="orders", upstreams=BOTH),
    )
    steps = (
        (Stage.LEGACY, 0, b"legacy", None),
        (Stage.DUAL, 1, b"legacy", Side.LEGACY),
        (Stage.MODERN, 2, b"modern", Side.MODERN),
        # Rolled back: its lanes may still hold writes on their way to legacy.
        (Stage.LEGACY, 3, b"legacy", Side.LEGACY),
    )
    with gateway, gateway.connect() as client:
        for stage, epoch, reads, authority in steps:
            gateway.switch(stage, epoch)
            client.send(GET % b"/orders/7")
            assert client.message().body == reads
            before = len(path.writes)
            client.send(PUT)
            answer = client.message()
            if authority is None:
                assert (answer.body, len(path.writes)) == (b"legacy", before)
            else:
                decision = path.writes[-1][0]
                assert len(path.writes) == before + 1
                assert (decision.authority, decision.epoch) == (authority, epoch)
    legacy.close()
    modern.close()


def test_an_idle_worker_adopts_a_switch_and_says_so(upstream: Upstream) -> None:
    with Gateway(ports(upstream)) as gateway:
        assert gateway.generation.told == [1]
        gateway.switch(Stage.DUAL, 1)
        wait_until(lambda: gateway.generation.told == [1, 2], DEADLINE_S)


def test_a_table_that_cannot_be_built_leaves_the_last_good_one(upstream: Upstream) -> None:
    with Gateway(ports(upstream)) as gateway, gateway.connect() as client:
        good = gateway.load

        def broken(generation: int) -> object:
            raise StorageUnavailable("cannot read the groups: journal is locked")

        gateway.load = broken  # type: ignore[method-assign,assignment]  # Broken on purpose.
        gateway.switch(Stage.DUAL, 1)
        gateway.observer.await_note("table_failed")
        client.send(GET % b"/fine")
        assert client.message().status == 200
        assert gateway.generation.told == [1]
        gateway.load = good  # type: ignore[method-assign]  # Healed.
        wait_until(lambda: gateway.generation.told == [1, 2], DEADLINE_S)


def test_a_write_past_the_journal_holds_the_adoption_back(upstream: Upstream) -> None:
    arrived, finish = threading.Event(), threading.Event()

    def slow(wire: Wire, _: Message) -> None:
        arrived.set()
        assert finish.wait(DEADLINE_S)
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    upstream.at[b"/orders/7"] = slow
    with Gateway(ports(upstream)) as gateway, gateway.connect() as client:
        client.send(PUT)
        assert arrived.wait(DEADLINE_S)
        gateway.switch(Stage.DUAL, 1)
        gateway.observer.await_note("table_swapped")
        with gateway.connect() as other:
            other.send(PUT)
            assert other.message().status == 201  # Already by the new table.
        assert gateway.generation.told == [1]
        finish.set()
        assert client.message().status == 200
        wait_until(lambda: gateway.generation.told == [1, 2], DEADLINE_S)
    del upstream.at[b"/orders/7"]


def test_a_write_after_a_roll_back_holds_the_next_adoption_back(upstream: Upstream) -> None:
    path = RecordingWritePath()
    with Gateway(ports(upstream), write_path=path) as gateway, gateway.connect() as client:
        gateway.switch(Stage.LEGACY, 2)  # Rolled back: writes may pass the journal.
        wait_until(lambda: gateway.generation.told == [1, 2], DEADLINE_S)
        path.gate = gate = asyncio.Event()
        client.send(PUT)
        wait_until(lambda: path.writes, DEADLINE_S)
        gateway.observer.clear()
        gateway.switch(Stage.DUAL, 3)
        gateway.observer.await_note("table_swapped")
        assert gateway.generation.told == [1, 2]
        gateway.loop.call_soon_threadsafe(gate.set)
        assert client.message().status == 201
        wait_until(lambda: gateway.generation.told == [1, 2, 3], DEADLINE_S)


def test_no_request_is_decided_by_a_mixed_table() -> None:
    """Stage, epoch and authority of a decision are always those of one table, and never go back."""
    upstream = Upstream()
    path = RecordingWritePath()
    gateway = Gateway(ports(upstream), write_path=path)
    gateway.routes = tuple(
        dataclasses.replace(
            route(name, f"/{name}/{{id}}", b"PUT", writes=True, upstreams=BOTH), group=name
        )
        for name in ("first", "second")
    )
    set_stages(gateway, 1)
    stop = threading.Event()
    put = b"PUT /%b/%d HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

    def ask(client_id: int) -> None:
        with gateway.connect() as client:
            while not stop.is_set():
                client.send(put % (b"first", client_id) + put % (b"second", client_id))
                for _ in range(2):
                    assert client.message().status == 201

    with gateway:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        for epoch in range(2, 62):
            set_stages(gateway, epoch)
            wait_until(partial(has_decided, path, epoch), DEADLINE_S)
            assert gateway.generation.told[-1] == gateway.generation.value
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_S)
    upstream.close()
    latest: dict[str, int] = {}
    for decision, _ in path.writes:
        stage = Stage.MODERN if decision.epoch % 2 else Stage.DUAL
        side = Side.MODERN if decision.epoch % 2 else Side.LEGACY
        assert (decision.stage, decision.authority) == (stage, side)
        assert decision.epoch >= latest.get(decision.params["id"], 0)
        latest[decision.params["id"]] = decision.epoch


def set_stages(gateway: Gateway, epoch: int) -> None:
    """Put both groups at one stage under the next generation, as one switch does."""
    stage = Stage.MODERN if epoch % 2 else Stage.DUAL
    gateway.groups = tuple(
        GroupState(group=name, stage=stage, epoch=epoch, lanes_held=False)
        for name in ("first", "second")
    )
    gateway.generation.value += 1


def has_decided(path: RecordingWritePath, epoch: int) -> bool:
    """Whether a write was decided under this epoch."""
    return bool(path.writes) and path.writes[-1][0].epoch == epoch
