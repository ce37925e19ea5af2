"""A shadow that hangs, is slow, floods, dies or talks nonsense: clients see nothing of it.

Every case sends requests over one kept-alive connection, whose answers must be the authority's,
each far sooner than what the shadow does to its copy. Figures of latency are the benchmark's.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import psutil
import pytest

from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.shadow.limits import ShadowLimits
from tests.gateway.http.upstream import Behaviour, hangs, replies, replies_and_closes
from tests.gateway.http.wire import GET, Ended, Message, Wire
from tests.gateway.shadow.rig import ShadowGateway, all_of, json_answer, ports_of, sides
from tests.waiting import wait_until

REQUESTS = 60
LIMITS = ShadowLimits(copies_max=8, bytes_max=1 << 20)
RULES = ShadowRules(
    copies_per_s=1_000_000, probes_per_s=1, timeout_ms=1_000, answer_bytes_max=64 * 1024
)
FLOOD_BYTES = 100 * 1024 * 1024


@pytest.fixture
def over() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def slow(over: threading.Event) -> Behaviour:
    """Answer after two seconds."""

    def behave(wire: Wire, _: Message) -> None:
        over.wait(2)
        wire.send(json_answer(b"{}"))

    return behave


def floods(wire: Wire, _: Message) -> None:
    """Answer with 100 MB."""
    wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % FLOOD_BYTES)
    block = bytes(1 << 20)
    for _number in range(FLOOD_BYTES >> 20):
        try:
            wire.sock.sendall(block)
        except OSError:
            raise Ended from None


def resets(wire: Wire, _: Message) -> None:
    """Answer with a reset."""
    wire.reset()
    raise Ended


GARBAGE = b"\x16\x03\x01\x00\xa5 what is this\r\n\r\n" + bytes(range(256))
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"

CASES: dict[str, tuple[Callable[[threading.Event], Behaviour], str]] = {
    "hangs": (hangs, "all.uncompared.copy_timeout"),
    "slow": (slow, "all.uncompared.copy_timeout"),
    "floods": (lambda _: floods, "all.uncompared.copy_answer_too_large"),
    "resets": (lambda _: resets, "all.uncompared.copy_lost"),
    "garbage": (lambda _: replies_and_closes(GARBAGE), "all.uncompared.copy_malformed"),
    "cut": (lambda _: replies_and_closes(CUT), "all.uncompared.copy_lost"),
    "endless interims": (
        lambda _: replies(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1_000),
        "all.uncompared.copy_malformed",
    ),
    "tunnel": (
        lambda _: replies(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        "all.uncompared.copy_malformed",
    ),
}


def use(gateway: ShadowGateway, legacy_answer: bytes, count: int = REQUESTS) -> float:
    """Send requests over one connection; return the longest time that one took."""
    longest = 0.0
    with gateway.connect() as client:
        for number in range(count):
            began = time.monotonic()
            client.send(GET % b"/orders/%d" % number)
            message = client.message()
            longest = max(longest, time.monotonic() - began)
            assert (message.status, message.body) == (200, legacy_answer)
    return longest


@pytest.mark.parametrize("case", CASES)
def test_clients_do_not_notice(case: str, over: threading.Event) -> None:
    behaviour, reason = CASES[case]
    with sides() as (legacy, modern):
        legacy.default = replies(json_answer(b'{"a": 1}'))
        modern.default = behaviour(over)
        with ShadowGateway(
            ports_of(legacy, modern), routes=[all_of(RULES)], shadow_limits=LIMITS
        ) as gateway:
            use(gateway, b'{"a": 1}', 5)
            process = psutil.Process()
            descriptors, memory = process.num_fds(), process.memory_info().rss
            longest = use(gateway, b'{"a": 1}')
            counts = gateway.await_count(reason)
            held = max(
                int(note.facts["held_bytes"]) for note in gateway.observer.notes("shadow_held")
            )
            # The client's connection, the copies' pool at both ends, and one that is being opened.
            assert process.num_fds() <= descriptors + 2 * LIMITS.copies_max + 8
            assert process.memory_info().rss < memory + 64 * 1024 * 1024
        assert connections_of(legacy.connections)
        over.set()
    assert longest < 0.9
    assert held <= LIMITS.bytes_max
    asked = counts["all.copied"] + sum(
        count for name, count in counts.items() if name.startswith("all.shed.")
    )
    assert asked == counts["all.seen"]


def connections_of(count: int) -> bool:
    """Whether legacy was asked over one connection for each client, and no copy took one."""
    return 1 <= count <= 3


def test_a_shadow_that_hangs_gets_ever_fewer_copies(over: threading.Event) -> None:
    rules = RULES.model_copy(update={"timeout_ms": 100})
    with sides() as (legacy, modern):
        modern.default = hangs(over)
        with ShadowGateway(
            ports_of(legacy, modern), routes=[all_of(rules)], shadow_limits=LIMITS
        ) as gateway:

            def is_slowed() -> bool:
                use(gateway, b"ok", 20)
                return gateway.counts()["all.shed.slow"] > 0

            wait_until(is_slowed)
            # It is well again: the one copy at a time finds out, and the pace comes back.
            modern.default = None
            over.set()

            def is_back() -> bool:
                use(gateway, b"ok", 20)
                (way,) = [way for (name, _), way in gateway.mirror.ways.items() if name == "modern"]
                return not way.pace.lowered

            wait_until(is_back)


def test_a_shadow_that_refuses() -> None:
    with sides() as (legacy, modern):
        ports = ports_of(legacy, modern)
        modern.close()
        with ShadowGateway(ports, routes=[all_of(RULES)], shadow_limits=LIMITS) as gateway:
            assert use(gateway, b"ok") < 0.9
            gateway.await_count("all.uncompared.copy_unreachable")


_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"x" * 50000)
        self.wfile.flush()
        sys.stdin.read()
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def test_a_shadow_that_is_killed_in_the_middle_of_its_answers() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        port = int(process.stdout.readline())
        with sides() as (legacy, modern):
            ports = {**ports_of(legacy, modern), "modern": port}
            rules = RULES.model_copy(update={"timeout_ms": 30_000, "answer_bytes_max": 1 << 20})
            with ShadowGateway(ports, routes=[all_of(rules)], shadow_limits=LIMITS) as gateway:
                use(gateway, b"ok", 10)
                gateway.await_count("all.copied")
                os.kill(process.pid, signal.SIGKILL)
                process.wait(10)
                assert use(gateway, b"ok") < 0.9
                gateway.await_count("all.uncompared.copy_lost")
    finally:
        process.kill()
        process.wait(10)
        with suppress(OSError):
            process.stdin.close()
        process.stdout.close()
