"""The severable wire does to a connection what its verbs say, and nothing else."""

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.waiting import wait_until
from tests.wire import Wire

MakeWire = Callable[[int | str], Wire]


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that answers every chunk with the same bytes in upper case."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        threads = [threading.Thread(target=_serve, args=(listener, stop))]
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            stop.set()
            threads[0].join()


def _serve(listener: socket.socket, stop: threading.Event) -> None:
    clients: list[socket.socket] = []
    while not stop.is_set():
        try:
            client, _ = listener.accept()
            client.settimeout(0.005)
            clients.append(client)
        except TimeoutError:
            pass
        for client in list(clients):
            try:
                data = client.recv(1 << 20)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if data:
                client.settimeout(10)
                client.sendall(data.upper())
                client.settimeout(0.005)
            else:
                client.close()
                clients.remove(client)
    for client in clients:
        client.close()


def _connect(wire: Wire, timeout_s: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", wire.port), timeout=timeout_s)


def _ask(client: socket.socket, text: bytes) -> bytes:
    client.sendall(text)
    answer = b""
    while len(answer) < len(text):
        answer += client.recv(65_536)
    return answer


def test_it_forwards_both_ways_in_any_size(wire: MakeWire, echo_port: int) -> None:
    with _connect(wire(echo_port)) as client:
        assert _ask(client, b"hello") == b"HELLO"
        large = b"x" * 3_000_000
        sender = threading.Thread(target=client.sendall, args=(large,))
        sender.start()
        received = 0
        while received < len(large):
            received += len(client.recv(65_536))
        sender.join()


def test_end_of_input_passes_through(wire: MakeWire, echo_port: int) -> None:
    cable = wire(echo_port)
    with _connect(cable) as client:
        assert _ask(client, b"last") == b"LAST"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    wait_until(lambda: cable.connections == 0, what="the link's end")


def test_a_cut_resets_and_new_connections_come_through(wire: MakeWire, echo_port: int) -> None:
    cable = wire(echo_port)
    with _connect(cable) as client:
        assert _ask(client, b"a") == b"A"
        cable.cut()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with _connect(cable) as client:
        assert _ask(client, b"b") == b"B"
    assert cable.accepted == 2


def test_a_deaf_wire_holds_everything_until_it_resumes(wire: MakeWire, echo_port: int) -> None:
    cable = wire(echo_port)
    with _connect(cable, 0.2) as old:
        assert _ask(old, b"a") == b"A"
        cable.deaf()
        old.sendall(b"held")
        with _connect(cable, 0.2) as new:
            new.sendall(b"new")
            for client in (old, new):
                with pytest.raises(TimeoutError):
                    client.recv(1)
                client.settimeout(5)
            cable.resume()
            assert old.recv(10) == b"HELD"
            assert new.recv(10) == b"NEW"


def test_a_lost_answer_is_one_that_the_server_gave(wire: MakeWire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cable = wire(listener.getsockname()[1])
        with _connect(cable, 0.2) as client:
            server, _ = listener.accept()
            with server:
                cable.deaf(answers_only=True)
                client.sendall(b"write")
                assert server.recv(10) == b"write"
                server.sendall(b"done")
                with pytest.raises(TimeoutError):
                    client.recv(1)
                cable.cut()
                with pytest.raises(ConnectionResetError):
                    client.recv(1)


def test_a_refusing_wire_keeps_what_is_open(wire: MakeWire, echo_port: int) -> None:
    cable = wire(echo_port)
    with _connect(cable) as client:
        assert _ask(client, b"a") == b"A"
        cable.refuse()
        with pytest.raises(ConnectionRefusedError):
            _connect(cable)
        assert _ask(client, b"b") == b"B"
        cable.resume()
        _connect(cable).close()


def test_through_keeps_everything_of_a_url_but_the_address(wire: MakeWire, echo_port: int) -> None:
    cable = wire(echo_port)
    url = "postgresql://user:pw@db.example:5432/name?sslmode=disable"
    assert cable.through(url) == (
        f"postgresql://user:pw@127.0.0.1:{cable.port}/name?sslmode=disable"
    )
