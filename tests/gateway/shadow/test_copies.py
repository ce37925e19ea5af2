"""The copy itself: every method, framing and size, with clients that stay and that leave."""

import ipaddress
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.gateway.dual.ports import IdPair
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.cohort import bucket_of, in_cohort
from bridge.gateway.routes.route import KeyPlace, KeyRule
from bridge.gateway.routes.sections.shadow import PathSwap, ShadowRules
from bridge.gateway.shadow.limits import ShadowLimits
from bridge.model.stage import Side, Stage
from tests.gateway.http.rig import route
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import GET, Message, Wire
from tests.gateway.shadow.rig import (
    EVERYTHING,
    QUIET,
    ShadowGateway,
    all_of,
    json_answer,
    ports_of,
    sides,
)
from tests.waiting import wait_until

STAND_IN = EVERYTHING.model_copy(update={"side_effect_free": True})
SIZES = {"none": 0, "small": 10, "above a read": 300_000, "on disk": 3_000_000}
FRAMINGS = ("length", "chunked")
BODIES = {
    name: bytes(range(256)) * (size // 256) + b"x" * (size % 256) for name, size in SIZES.items()
}


def send(client: Wire, method: bytes, framing: str, body: bytes, *, whole: bool = True) -> None:
    """Send a request, or only its first part."""
    head = b"%b /orders/7 HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\n" % method
    if framing == "length":
        data = b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)
    else:
        chunks = [body[at : at + 50_000] for at in range(0, len(body), 50_000)]
        coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        data = b"%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (head, coded)
    client.send(data if whole else data[: -max(7, len(body) // 2)])


@pytest.mark.parametrize(
    ("method", "framing", "size"),
    list(itertools.product([b"GET", b"POST", b"PUT", b"PATCH", b"DELETE"], FRAMINGS, SIZES)),
)
def test_a_copy_says_what_the_request_said(
    method: bytes, framing: str, size: str, matrix: "Matrix"
) -> None:
    matrix.modern.received.clear()
    before = matrix.gateway.counts()["all.compared.identical"]
    with matrix.gateway.connect() as client:
        send(client, method, framing, BODIES[size])
        assert client.message().status == 200
    matrix.gateway.await_count("all.compared.identical", before + 1)
    (copy,) = matrix.modern.received
    assert copy.start == b"%b /orders/7 HTTP/1.1" % method
    assert copy.body == BODIES[size]
    assert copy.one(b"X-Own") == b"1"
    assert copy.one(b"Host") == b"a"
    assert copy.one(b"Legacy-Bridge-Shadow") == b"copy"
    wait_until(lambda: matrix.held() == (0, 0), 10, "memory and disk to be given back")


@pytest.mark.parametrize(
    ("method", "framing", "size"),
    list(itertools.product([b"POST", b"DELETE"], FRAMINGS, [s for s in SIZES if s != "none"])),
)
def test_a_request_that_ends_early_is_not_copied(
    method: bytes, framing: str, size: str, matrix: "Matrix"
) -> None:
    matrix.modern.received.clear()
    counts = matrix.gateway.counts()
    seen, before = counts["all.seen"], counts["all.shed.client_gone"]
    with matrix.gateway.connect() as client:
        send(client, method, framing, BODIES[size], whole=False)
        matrix.gateway.await_count("all.seen", seen + 1)
        client.reset()
    matrix.gateway.await_count("all.shed.client_gone", before + 1)
    assert not matrix.modern.received
    wait_until(lambda: matrix.held() == (0, 0), 10, "memory and disk to be given back")


class Matrix:
    """One gateway for all cases: a stand-in that takes everything."""

    def __init__(self, gateway: ShadowGateway, legacy: Upstream, modern: Upstream) -> None:
        self.gateway = gateway
        self.legacy = legacy
        self.modern = modern

    def held(self) -> tuple[int, int]:
        """Return bytes in memory and on disk."""
        mirror = self.gateway.mirror
        return mirror.budget.held, mirror.spool.disk.held


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator["Matrix"]:
    with sides() as (legacy, modern):
        gateway = ShadowGateway(
            ports_of(legacy, modern),
            routes=[all_of(STAND_IN, body_bytes_max=8_000_000)],
            spool_folder=tmp_path_factory.mktemp("spool"),
        )
        with gateway:
            yield Matrix(gateway, legacy, modern)


def test_a_client_that_leaves_takes_its_copy_along() -> None:
    over = threading.Event()

    def waits(wire: Wire, _: Message) -> None:
        over.wait(10)
        wire.send(json_answer(b"{}"))

    with sides() as (legacy, modern):
        legacy.default = waits
        modern.default = replies(json_answer(b"{}"))
        with ShadowGateway(ports_of(legacy, modern), routes=[all_of()], seed=1) as gateway:
            for number in range(8):
                with gateway.connect() as client:
                    client.send(GET % b"/%d" % number)
                    gateway.await_count("all.seen", number + 1)
                    client.reset()
            wait_until(
                lambda: (
                    (counts := gateway.counts())["all.shed.client_gone"]
                    + counts["all.uncompared.client_gone"]
                    == 8
                )
            )
            assert gateway.mirror.budget.held == 0
            over.set()


def test_fields_credentials_and_path_are_swapped() -> None:
    rules = ShadowRules(
        copies_per_s=1_000,
        headers={"X-Tenant": "test", "Referer": None},
        path=PathSwap(prefix="/api/", becomes="/v2/"),
    )
    with (
        sides() as (legacy, modern),
        ShadowGateway(
            ports_of(legacy, modern),
            routes=[all_of(rules)],
            credentials={"modern": ((b"Authorization", b"Bearer stand-in"),)},
        ) as gateway,
    ):
        with gateway.connect() as client:
            client.send(
                b"GET /api/x?y=%2F HTTP/1.1\r\nHost: a\r\nX-Tenant: acme\r\nReferer: r\r\n"
                b"Authorization: Bearer own\r\nCookie: s=1\r\nX-Other: o\r\n\r\n"
            )
            client.message()
        gateway.await_count("all.compared.identical")
        (copy,) = modern.received
        (original,) = legacy.received
    assert copy.target == b"/v2/x?y=%2F"
    assert copy.all(b"Authorization") == [b"Bearer stand-in"]
    assert copy.all(b"X-Tenant") == [b"test"]
    assert copy.one(b"Referer") is copy.one(b"Cookie") is None
    assert copy.one(b"X-Other") == b"o"
    assert original.target == b"/api/x?y=%2F"
    assert original.one(b"Authorization") == b"Bearer own"
    assert original.one(b"Cookie") == b"s=1"


def test_a_copy_that_comes_to_a_gateway_is_not_copied_again() -> None:
    both = {"legacy": 0, "modern": 0}
    with sides() as (legacy, modern):
        # Of another name: a gateway of the same one would refuse the loop by Via.
        # It believes what the first one says of its requests.
        trusted = (ipaddress.ip_network("127.0.0.0/8"),)
        settings = PlaneSettings(
            name="second", drain_ms=1_000, drain_idle_ms=0, trusted_hops=trusted
        )
        ports = dict.fromkeys(both, modern.port)
        with ShadowGateway(ports, routes=[all_of()], settings=settings) as second:
            ports = {"legacy": legacy.port, "modern": second.port}
            with ShadowGateway(ports, routes=[all_of()]) as first, first.connect() as client:
                client.send(GET % b"/x")
                client.message()
                first.await_count("all.compared.identical")
            with second.connect() as client:
                client.send(b"GET /x HTTP/1.1\r\nHost: a\r\nlegacy-bridge-shadow: probe\r\n\r\n")
                client.message()
            second.await_count("all.shed.copy_of_copy", 2)
        assert len(modern.requests_to(b"/x")) == 2


def test_a_body_over_the_limit_is_not_copied_and_its_client_does_not_notice() -> None:
    rules = STAND_IN.model_copy(update={"request_bytes_max": 1_000})
    routes = [all_of(rules, body_bytes_max=1 << 20)]
    with (
        sides() as (legacy, modern),
        ShadowGateway(ports_of(legacy, modern), routes=routes) as gateway,
    ):
        with gateway.connect() as client:
            send(client, b"POST", "chunked", b"y" * 5_000)
            assert client.message().status == 200
        gateway.await_count("all.shed.request_too_large")
        assert legacy.received[0].body == b"y" * 5_000
        assert not modern.received


def test_a_disk_that_is_full_costs_the_copy_alone(tmp_path: Path) -> None:
    limits = ShadowLimits(spool_bytes_max=100_000)
    routes = [all_of(STAND_IN, body_bytes_max=1 << 20)]
    with (
        sides() as (legacy, modern),
        ShadowGateway(
            ports_of(legacy, modern), routes=routes, shadow_limits=limits, spool_folder=tmp_path
        ) as gateway,
    ):
        with gateway.connect() as client:
            send(client, b"POST", "length", b"y" * 200_000)
            assert client.message().status == 200
        gateway.await_count("all.shed.request_too_large")
        assert not list(tmp_path.iterdir())


def test_a_route_by_key_copies_all_of_a_key_or_nothing() -> None:
    rules = EVERYTHING.model_copy(update={"percent": 40, "by_key": True})
    orders = route(
        "orders", "/orders/{id}/{rest...}", b"GET", group="orders", shadow=rules, comparison=QUIET,
        upstreams=all_of().upstreams,
    )  # fmt: skip
    with (
        sides() as (legacy, modern),
        ShadowGateway(ports_of(legacy, modern), routes=[orders]) as gateway,
    ):
        with gateway.connect() as client:
            for number in range(120):
                client.send(GET % b"/orders/%d/%d" % (number % 40, number))
                client.message()
        wait_until(
            lambda: (
                (counts := gateway.counts())["orders.compared.identical"]
                == counts["orders.copied"]
                > 0
            )
        )
        keys = [message.target.split(b"/")[2] for message in modern.received]
    assert 5 < len(set(keys)) < 30
    assert all(keys.count(key) == 3 for key in keys)


@pytest.mark.parametrize("place", [KeyPlace.HEADER, KeyPlace.COOKIE, KeyPlace.QUERY])
def test_the_copied_keys_are_the_cohort_of_the_same_share(place: KeyPlace) -> None:
    """Wherever the key stands, by either side's id, and dealt by the group's salt."""
    rules = EVERYTHING.model_copy(update={"percent": 40, "by_key": True})
    customers = all_of(
        rules, key=KeyRule(place=place, name="customer", entity="customer"), cohort_salt="salt"
    )
    fields = {KeyPlace.HEADER: b"Customer: %d", KeyPlace.COOKIE: b"Cookie: a=b; customer=%d"}
    with (
        sides() as (legacy, modern),
        ShadowGateway(ports_of(legacy, modern), routes=[customers], ids=Doubled()) as gateway,
    ):
        with gateway.connect() as client:
            for number in range(60):
                target = b"/a?customer=%d" % number if place is KeyPlace.QUERY else b"/a"
                field = fields.get(place, b"X-Nothing: %d") % number
                client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (target, field))
                client.message()
            client.send(GET % b"/a")  # Without a key it is nobody's.
            client.message()
        wanted = {n for n in range(60) if in_cohort(bucket_of("salt", f"lane-{n // 2}"), 40)}
        counts = gateway.await_count("all.copied", len(wanted))
    assert counts["all.copied"] == len(wanted)
    assert 10 < len(wanted) < 40
    assert all(number ^ 1 in wanted for number in wanted), "both ids of a pair, or none"


class Doubled:
    """An id map in which 2n and 2n + 1 are one customer."""

    def pair(self, group: str, entity: str, known_id: str) -> IdPair | None:
        first = int(known_id) // 2 * 2
        return IdPair(
            entity=entity, legacy_id=str(first), modern_id=str(first + 1),
            lane=f"lane-{first // 2}",
        )  # fmt: skip

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        return self.pair(group, entity, known_id)


def test_a_rate_holds_the_copies_down() -> None:
    rules = EVERYTHING.model_copy(update={"copies_per_s": 5})
    with (
        sides() as (legacy, modern),
        ShadowGateway(
            ports_of(legacy, modern), routes=[all_of(rules)], stage=Stage.SHADOW
        ) as gateway,
    ):
        with gateway.connect() as client:
            for number in range(60):
                client.send(GET % b"/%d" % number)
                client.message()
        counts = gateway.await_count("all.seen", 60)
        assert counts["all.copied"] + counts["all.shed.rate"] == 60
        assert counts["all.shed.rate"] >= 30
