"""A worker that ends under load cuts nobody, and hands its port to the next without a loss."""

import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.child import child
from tests.gateway.edge.authority import Authority
from tests.gateway.edge.peers import accepts, free_port, python
from tests.gateway.edge.rig import trusting
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import GET, OK, Ended, Message, Wire
from tests.waiting import wait_until

CLIENTS = 4


class Load:
    """Clients that ask again and again; a third of their connections are fresh ones."""

    def __init__(self, port: int, ca_file: Path | None) -> None:
        self.answers = 0
        self.failures: list[str] = []
        self._port = port
        self._context = trusting(ca_file) if ca_file else None
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask for nothing more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _connect(self) -> Wire:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=10)
        if self._context is not None:
            return Wire(self._context.wrap_socket(sock, server_hostname="a.example"))
        return Wire(sock)

    def _run(self) -> None:
        while not self._stop.is_set():
            where = "connecting"
            try:
                with self._connect() as wire:
                    for number in range(3):
                        where = f"request {number + 1} of a connection"
                        wire.sock.sendall(GET % b"/load")
                        answer = wire.message()
                        assert answer.status == 200, answer
                        self.answers += 1
                        if answer.one(b"Connection") == b"close":
                            break
            except (OSError, Ended, ssl.SSLError, AssertionError) as exc:
                self.failures.append(f"{where}: {exc!r}")


@contextmanager
def worker(*args: str) -> Iterator[subprocess.Popen[bytes]]:
    argv = python("tests.gateway.edge.worker", *args)
    with child(argv, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        yield running


def end(running: subprocess.Popen[bytes]) -> None:
    """Stop a worker and see that it left nobody."""
    running.send_signal(signal.SIGTERM)
    assert running.stdout is not None
    assert running.stdout.readline() == b"left 0\n"
    assert running.wait(15) == 0


@pytest.mark.parametrize(
    "handovers", [1, pytest.param(10, marks=pytest.mark.soak)], ids=["once", "ten-times"]
)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_port_is_handed_over_under_load_without_a_loss(
    authority: Authority, upstream: Upstream, secure: bool, handovers: int
) -> None:
    port = free_port()
    args = [str(port), str(upstream.port)]
    if secure:
        files = authority.issue("a", "a.example")
        args += [str(files.cert_file), str(files.key_file)]
    with ExitStack() as running:
        old = running.enter_context(worker(*args))
        load = running.enter_context(Load(port, authority.file if secure else None))
        for _ in range(handovers):
            await_answers(load)
            new = running.enter_context(worker(*args))
            end(old)
            old = new
        await_answers(load)
        load.stop()
        end(old)
    assert load.failures == []


def test_a_request_under_way_is_answered_and_then_the_worker_ends(upstream: Upstream) -> None:
    go_on = threading.Event()

    def slow(wire: Wire, _: Message) -> None:
        go_on.wait(10)
        wire.send(OK)

    upstream.at[b"/slow"] = slow
    port = free_port()
    with worker(str(port), str(upstream.port)) as running:
        with Wire(socket.create_connection(("127.0.0.1", port))) as client:
            client.send(GET % b"/slow")
            wait_until(lambda: upstream.received, what="the request")
            running.send_signal(signal.SIGTERM)
            wait_until(lambda: not accepts(port), what="the end of listening")
            go_on.set()
            assert client.message().one(b"Connection") == b"close"
        assert running.wait(15) == 0


def test_an_idle_connection_may_send_one_more_request(upstream: Upstream) -> None:
    port = free_port()
    with worker(str(port), str(upstream.port)) as running:
        with Wire(socket.create_connection(("127.0.0.1", port))) as client:
            client.send(GET % b"/1")
            client.message()
            running.send_signal(signal.SIGTERM)
            answer = None
            while answer is None:  # Each is answered, until one is the last.
                client.send(GET % b"/2")
                answer = client.message().one(b"Connection")
            assert answer == b"close"
        assert running.wait(15) == 0


def await_answers(load: Load) -> None:
    """Wait until the load has had fifty more."""
    before = load.answers
    wait_until(lambda: load.answers > before + 50, what="answers")
