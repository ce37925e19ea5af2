"""W3C trace context: a child of the client's, or a new trace, and never two."""

import re

import pytest

from bridge.gateway.http.trace_context import Parent, read_parent, traced
from bridge.gateway.plane.settings import PlaneSettings
from bridge.model.stage import Stage
from tests.gateway.http.rig import Gateway, RecordingWritePath, ports
from tests.gateway.http.upstream import Upstream

TRACE = b"4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = b"00-%b-00f067aa0ba902b7-01" % TRACE
FORM = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def ones(bits: int) -> int:
    return (1 << bits) - 1


def test_a_child_keeps_the_trace_and_its_state() -> None:
    block = b"Host: a\r\nTraceParent: %b\r\ntracestate: x=1,y=2\r\nVia: 1.1 b\r\n" % PARENT
    child = b"00-%b-%b-01" % (TRACE, b"f" * 16)
    assert traced(block, ones) == block.replace(b" " + PARENT, b" " + child)


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (b"01-%b-00f067aa0ba902b7-ff-more" % TRACE, b"00-%b-%b-01" % (TRACE, b"f" * 16)),
        (b"cc-%b-00f067aa0ba902b7-08" % TRACE, b"00-%b-%b-00" % (TRACE, b"f" * 16)),
    ],
)
def test_a_later_version_is_read_as_far_as_it_is_known(given: bytes, passed: bytes) -> None:
    assert traced(b"traceparent:%b\r\n" % given, ones) == b"traceparent: %b\r\n" % passed


@pytest.mark.parametrize(
    ("given", "passed"), [(b"ff", b"03"), (b"05", b"01"), (b"02", b"02"), (b"fe", b"02")]
)
def test_flags_that_nobody_has_defined_are_not_passed_on(given: bytes, passed: bytes) -> None:
    start = b"00-%b-" % TRACE
    block = b"traceparent: %b00f067aa0ba902b7-%b\r\n" % (start, given)
    assert traced(block, ones) == b"traceparent: %b%b-%b\r\n" % (start, b"f" * 16, passed)


@pytest.mark.parametrize(
    ("line", "parent"),
    [
        (b"TraceParent:%b" % PARENT, Parent(int(TRACE, 16), 0x00F067AA0BA902B7, True)),
        (
            b"traceparent: %b" % PARENT[:-1] + b"2",
            Parent(int(TRACE, 16), 0x00F067AA0BA902B7, False),
        ),
        (b"traceparent: 01-%b-0000000000000001-09-x" % TRACE, Parent(int(TRACE, 16), 1, True)),
        (b"traceparent: %b-x" % PARENT, None),
        (b"tracestate: x=1", None),
    ],
)
def test_the_parent_is_read_as_it_is_passed_on(line: bytes, parent: Parent | None) -> None:
    assert read_parent([b"Host: a", line]) == parent
    assert read_parent([line, line]) is None
    passed = traced(line + b"\r\n", ones, b"01")
    known = b"%032x" % parent.trace_id if parent else b"f" * 32
    assert passed.partition(b"00-")[2][:32] == known


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"ff-%b-00f067aa0ba902b7-01" % TRACE,
        b"00-%b-00f067aa0ba902b7-01-more" % TRACE,
        b"00-%b-0000000000000000-01" % TRACE,
        b"00-%b-00f067aa0ba902b7-01" % (b"0" * 32),
        b"00-%b-00f067aa0ba902b7-01" % TRACE.upper(),
        b"00-%b-00f067aa0ba902b7-1" % TRACE,
        PARENT + b"\r\ntraceparent: " + PARENT,
    ],
)
def test_a_broken_one_begins_a_new_trace_without_its_state(broken: bytes) -> None:
    block = b"A: 1\r\ntraceparent: %b\r\nTraceState: x=1\r\nB: 2\r\n" % broken
    new = b"traceparent: 00-%b-%b-00\r\n" % (b"f" * 32, b"f" * 16)
    assert traced(block, ones) == b"A: 1\r\nB: 2\r\n" + new


def test_requests_and_journalled_writes_carry_it(upstream: Upstream) -> None:
    settings = PlaneSettings(trace=True, drain_ms=100)
    path = RecordingWritePath()
    get = b"GET /%b HTTP/1.1\r\nHost: a\r\n%b\r\n"
    with Gateway(ports(upstream), settings=settings, write_path=path) as gateway:
        gateway.switch(Stage.DUAL, 1)
        with gateway.connect() as client:
            for target, lines in ((b"new", b""), (b"new", b""), (b"child", b"traceparent: %b\r\n")):
                client.send(get % (target, lines % PARENT if lines else b""))
                assert client.message().status == 200
            client.send(
                b"PUT /orders/1 HTTP/1.1\r\nHost: a\r\nTraceparent: %b\r\nContent-Length: 2"
                b"\r\n\r\n{}" % PARENT
            )
            client.message()
    one, two, child = (message.one(b"traceparent") for message in upstream.received)
    assert one is not None
    assert two is not None
    assert child is not None
    assert FORM.fullmatch(one)
    assert one[3:35] != two[3:35]
    assert child[:36] == PARENT[:36]
    assert child != PARENT
    ((_, request),) = path.writes
    written = request.header(b"traceparent")
    assert written is not None
    assert written[:36] == PARENT[:36]
    assert written != PARENT


def test_nothing_is_touched_unless_it_is_asked_for(upstream: Upstream) -> None:
    with Gateway(ports(upstream)) as gateway, gateway.connect() as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\ntraceparent: %b\r\n\r\n" % PARENT)
        client.message()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        client.message()
    assert [message.all(b"traceparent") for message in upstream.received] == [[PARENT], []]
