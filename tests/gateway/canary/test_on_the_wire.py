"""Reads at stage canary through a real worker: wherever the key stands, and as they stream."""

import base64
import json
import threading
from collections.abc import Iterator

import pytest

from bridge.gateway.dual.ports import LaneState
from bridge.model.stage import Side
from tests.gateway.canary.rig import CanaryGateway, a_key, two_sides
from tests.gateway.http.test_tunnels import echoes, talk_until_it_ends, tunnel
from tests.gateway.http.test_tunnels import says as heard
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import DEADLINE_S, GET, Message, Wire


@pytest.fixture
def sides() -> Iterator[tuple[Upstream, Upstream]]:
    legacy, modern = two_sides()
    yield legacy, modern
    legacy.close()
    modern.close()


@pytest.fixture
def gateway(sides: tuple[Upstream, Upstream]) -> Iterator[CanaryGateway]:
    with CanaryGateway(*sides) as gateway:
        yield gateway


def asks(gateway: CanaryGateway, request: bytes) -> str | None:
    """Return which side answers."""
    with gateway.connect() as client:
        client.send(request)
        answer = client.message()
        assert answer.status in (200, 201), answer.start
        side = answer.one(b"x-side")
    return None if side is None else side.decode()


def _token(order: str) -> bytes:
    parts = ({"alg": "none"}, {"sub": order})
    shown = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]
    return b".".join([*shown, b"c2ln"])


def _with_key(place: str, order: str) -> bytes:
    name = order.encode()
    head = b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n"
    return {
        "path": head % (b"/orders/" + name, b""),
        "header": head % (b"/mine", b"x-order: %b\r\n" % name),
        "cookie": head % (b"/basket", b"Cookie: a=b; order=%b\r\n" % name),
        "query": head % (b"/find?x=1&order=" + name, b""),
        "claim": head % (b"/me", b"Authorization: Bearer %b\r\n" % _token(order)),
    }[place]


@pytest.mark.parametrize("place", ["path", "header", "cookie", "query", "claim"])
def test_a_read_goes_by_its_key_wherever_it_stands(gateway: CanaryGateway, place: str) -> None:
    for inside, side in ((True, "modern"), (False, "legacy")):
        assert asks(gateway, _with_key(place, a_key(50, inside=inside))) == side


def test_a_key_in_the_body_is_chosen_when_the_request_is_whole(gateway: CanaryGateway) -> None:
    chosen = []
    for inside in (True, False):
        body = json.dumps({"order": a_key(50, inside=inside)}).encode()
        head = b"POST /search HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        with gateway.connect() as client:
            client.send(head + body[:5])
            client.send(body[5:])
            assert client.message().status == 201
        chosen.append(gateway.write_path.reads[-1][0].authority)  # type: ignore[attr-defined]  # it records
    assert chosen == [Side.MODERN, Side.LEGACY]


def test_a_read_without_its_key_is_legacys_and_counted(gateway: CanaryGateway) -> None:
    for path in (b"/mine", b"/basket", b"/find", b"/me"):
        assert asks(gateway, GET % path) == "legacy"
    assert asks(gateway, GET % b"/orders") == "legacy"
    gateway.stop()
    told = gateway.counted("sides_chosen")
    assert {name: count for name, count in told.items() if name.endswith("no_key")} == {
        f"{route}.no_key": 1 for route in ("by-header", "by-cookie", "by-query", "by-claim")
    }


def test_at_100_percent_everything_is_read_on_modern_and_written_on_legacy(
    gateway: CanaryGateway,
) -> None:
    gateway.step(100.0)
    for path in (b"/orders/1", b"/orders/2", b"/orders", b"/mine"):
        assert asks(gateway, GET % path) == "modern"
    put = b"PUT /orders/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
    assert asks(gateway, put) == "legacy"


def test_a_ramp_moves_keys_with_the_next_request(gateway: CanaryGateway) -> None:
    late = a_key(50, inside=False)
    with gateway.connect() as client:
        for share, side in ((50.0, b"legacy"), (100.0, b"modern"), (1.0, b"legacy")):
            gateway.step(share)
            client.send(GET % f"/orders/{late}".encode())
            assert client.message().one(b"x-side") == side


def test_a_pinned_key_is_read_where_it_is_written(gateway: CanaryGateway) -> None:
    inside = a_key(50, inside=True)
    request = GET % f"/orders/{inside}".encode()
    gateway.book.lanes[f"order:{inside}"] = LaneState(unreplayed_to=Side.MODERN)
    assert asks(gateway, request) == "legacy"
    gateway.book.lanes.clear()
    assert asks(gateway, request) == "modern"
    gateway.stop()
    told = gateway.counted("sides_chosen")
    assert (told["by-path.pinned"], told["by-path.in_cohort"]) == (1, 1)


def test_answers_are_counted_under_stage_and_the_side_that_answered(
    gateway: CanaryGateway,
) -> None:
    for inside in (True, False, False):
        asks(gateway, GET % f"/orders/{a_key(50, inside=inside)}".encode())
    gateway.stop()
    told = {
        note.name: note.facts["requests"]
        for note in gateway.observer.notes()
        if note.name.startswith("requests.by-path")
    }
    assert told == {
        "requests.by-path.canary.modern.upstream.2xx": 1,
        "requests.by-path.canary.legacy.upstream.2xx": 2,
    }


@pytest.mark.parametrize("inside", [True, False])
def test_bodies_stream_both_ways_whatever_side_is_chosen(
    gateway: CanaryGateway, sides: tuple[Upstream, Upstream], inside: bool
) -> None:
    target = f"/orders/{a_key(50, inside=inside)}".encode()
    side = sides[inside]
    first, go_on = threading.Event(), threading.Event()

    def streams(wire: Wire, _: Message) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        first.set()
        assert go_on.wait(DEADLINE_S)
        wire.send(b"4\r\nlast\r\n0\r\n\r\n")

    side.at[target] = streams
    with gateway.connect() as client:
        client.send(GET % target)
        assert client.until(b"first\r\n").startswith(b"HTTP/1.1 200 OK")
        assert first.is_set()
        go_on.set()
        assert client.until(b"0\r\n\r\n").startswith(b"4\r\nlast")
    assert not gateway.write_path.reads, "it was forwarded as it came"  # type: ignore[attr-defined]  # it records


def test_a_tunnel_stays_with_the_side_of_its_handshake_and_is_reviewed_at_a_step(
    gateway: CanaryGateway, sides: tuple[Upstream, Upstream]
) -> None:
    inside, later = a_key(50, inside=True), a_key(50, inside=False)
    targets = [f"/orders/{key}".encode() for key in (inside, later)]
    for side in sides:
        side.at.update(dict.fromkeys(targets, echoes))
    legacy, modern = sides
    with tunnel(gateway, targets[0]) as stays, tunnel(gateway, targets[1]) as moved:
        assert len(modern.requests_to(targets[0])) == 1
        assert len(legacy.requests_to(targets[1])) == 1
        # A write of its key moves no tunnel; a step of the ramp ends those whose keys it moves.
        gateway.book.lanes[f"order:{inside}"] = LaneState(unreplayed_to=Side.MODERN)
        heard(stays, b"a")
        gateway.step(100.0)
        moved.sock.settimeout(0.02)
        with pytest.raises(ConnectionResetError):
            talk_until_it_ends(moved)
        heard(stays, b"b")


def test_several_keys_in_one_place_are_none(gateway: CanaryGateway) -> None:
    inside = a_key(50, inside=True).encode()
    twice = b"GET /mine HTTP/1.1\r\nHost: a\r\nX-Order: %b\r\nX-Order: 7\r\n\r\n" % inside
    assert asks(gateway, twice) == "legacy"
