"""What transports promise, shown for wires and asyncio's own alike; and what wires do besides."""

import asyncio
import errno
import functools
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from bridge.gateway.wires import opening
from bridge.gateway.wires.opening import connect, listen
from bridge.gateway.wires.turns import TurnLoop, run_in_turns
from tests.waiting import wait_until_async

LARGE = bytes(range(256)) * 40_000


class Recorder(asyncio.Protocol):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.data = b""
        self.told: list[str] = []
        self.lost: list[Exception | None] = []
        self.keep_open = False
        self.on_data: Callable[[bytes], None] = lambda data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.on_data(data)

    def eof_received(self) -> bool:
        self.told.append("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


def on_both(
    test: Callable[[], Awaitable[None]],
) -> Callable[[type[asyncio.SelectorEventLoop]], None]:
    """Run a test on asyncio's loop and on ours."""

    @pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, TurnLoop])
    def run(loop: type[asyncio.SelectorEventLoop]) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(cast(Any, test()))

    return run


@asynccontextmanager
async def joined(count: int = 1) -> AsyncIterator[list[tuple[Recorder, socket.socket]]]:
    """Yield accepted connections, each with the bare socket at its other end."""
    made: list[Recorder] = []

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    server = await listen(make, listener)
    peers: list[socket.socket] = []
    try:
        for at in range(count):
            peer = socket.create_connection(listener.getsockname())
            peer.settimeout(10)
            peers.append(peer)
            await until(functools.partial(_is_taken, made, at))
        yield list(zip(made, peers, strict=True))
    finally:
        server.close()
        for peer in peers:
            peer.close()
        for each in made:
            if not each.lost:
                each.transport.abort()
        await until(lambda: all(each.lost for each in made))


def _is_taken(made: list[Recorder], at: int) -> bool:
    return len(made) > at and hasattr(made[at], "transport")


async def until(condition: Callable[[], bool]) -> None:
    await wait_until_async(condition)


async def read(peer: socket.socket, size: int) -> bytes:
    """Read so much, or to the end, in a thread: the loop goes on."""

    def receive() -> bytes:
        found = b""
        while len(found) < size and (data := peer.recv(65_536)):
            found += data
        return found

    return await asyncio.to_thread(receive)


@on_both
async def test_bytes_arrive_whole_and_in_order_both_ways() -> None:
    async with joined() as [(app, peer)]:
        app.on_data = lambda data: app.transport.write(data)
        sending = asyncio.to_thread(peer.sendall, LARGE)
        echoed, _ = await asyncio.gather(read(peer, len(LARGE)), sending)
        assert echoed == LARGE
        assert app.data == LARGE


@on_both
async def test_many_small_writes_are_one_stream() -> None:
    async with joined() as [(app, peer)]:
        for part in (b"a", b"", b"b", bytearray(b"c"), memoryview(b"d")):
            app.transport.write(part)
        app.transport.writelines([b"e", b"f"])
        assert await read(peer, 6) == b"abcdef"
        await until(lambda: app.transport.get_write_buffer_size() == 0)


@on_both
async def test_a_slow_reader_pauses_the_writer_until_it_has_caught_up() -> None:
    async with joined() as [(app, peer)]:
        app.transport.set_write_buffer_limits(high=100_000, low=1_000)
        assert app.transport.get_write_buffer_limits() == (1_000, 100_000)
        app.transport.write(LARGE)
        await until(lambda: "pause" in app.told)
        app.transport.write(b"more")
        assert app.told == ["pause"]
        assert await read(peer, len(LARGE) + 4) == LARGE + b"more"
        await until(lambda: app.told == ["pause", "resume"])


@on_both
async def test_what_was_written_before_a_close_arrives() -> None:
    async with joined() as [(app, peer)]:
        app.transport.write(LARGE)
        app.transport.close()
        assert app.transport.is_closing()
        assert app.lost == []
        assert await read(peer, len(LARGE) + 1) == LARGE
        await until(lambda: app.lost == [None])


@on_both
async def test_half_a_close_lets_the_other_half_go_on() -> None:
    async with joined() as [(app, peer)]:
        app.keep_open = True
        app.transport.write(b"last")
        app.transport.write_eof()
        assert await read(peer, 100) == b"last"
        peer.sendall(b"still")
        await until(lambda: app.data == b"still")
        peer.shutdown(socket.SHUT_WR)
        await until(lambda: app.told == ["eof"])
        assert not app.transport.is_closing()


@on_both
async def test_the_others_end_closes() -> None:
    async with joined() as [(app, peer)]:
        peer.close()
        await until(lambda: app.lost == [None])
        assert app.told == ["eof"]


@on_both
async def test_a_reset_is_told_as_one() -> None:
    async with joined() as [(app, peer)]:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        await until(lambda: bool(app.lost))
        assert isinstance(app.lost[0], ConnectionResetError)


@on_both
async def test_writing_to_who_is_gone_ends_it() -> None:
    async with joined() as [(app, peer)]:
        app.transport.pause_reading()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()

        def ended() -> bool:
            app.transport.write(b"x")
            return bool(app.lost)

        await until(ended)
        assert isinstance(app.lost[0], OSError)
        assert app.transport.is_closing()


@on_both
async def test_paused_reading_tells_nothing_until_it_goes_on() -> None:
    async with joined() as [(app, peer)]:
        app.transport.pause_reading()
        assert not app.transport.is_reading()
        peer.sendall(b"early")
        app.transport.write(b"x")
        assert await read(peer, 1) == b"x"
        assert app.data == b""
        app.transport.resume_reading()
        await until(lambda: app.data == b"early")


@on_both
async def test_a_bug_of_a_protocol_ends_its_connection_and_no_other() -> None:
    heard: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: heard.append(context))
    async with joined(2) as [(bad, to_bad), (good, to_good)]:

        def fail(data: bytes) -> None:
            raise ValueError("a bug")

        bad.on_data = fail
        good.on_data = lambda data: good.transport.write(data)
        to_bad.sendall(b"x")
        to_good.sendall(b"y")
        assert await read(to_good, 1) == b"y"
        await until(lambda: bool(bad.lost))
        assert isinstance(heard[0]["exception"], ValueError)
        assert good.lost == []


@on_both
async def test_another_protocol_takes_over() -> None:
    async with joined() as [(app, peer)]:
        later = Recorder()
        app.on_data = lambda data: app.transport.set_protocol(later)
        peer.sendall(b"one")
        await until(lambda: app.data == b"one")
        assert app.transport.get_protocol() is later
        peer.sendall(b"two")
        await until(lambda: later.data == b"two")
        app.transport.set_protocol(app)


@on_both
async def test_a_connection_is_made_and_knows_its_peer() -> None:
    async with joined() as [(app, peer)]:
        assert app.transport.get_extra_info("peername") == peer.getsockname()
        assert app.transport.get_extra_info("socket").fileno() >= 0
        assert app.transport.get_extra_info("cipher", "none") == "none"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        transport, made = await connect(Recorder, "127.0.0.1", listener.getsockname()[1])
        transport.write(b"hello")
        peer, _ = listener.accept()
        with peer:
            assert await read(peer, 5) == b"hello"
        transport.abort()
        await until(lambda: made.lost == [None])


@on_both
async def test_nobody_at_the_other_end_is_told_with_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(OSError) as told:
        await connect(Recorder, "127.0.0.1", port)
    assert told.value.errno == errno.ECONNREFUSED


@on_both
async def test_the_next_address_of_a_host_is_tried() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as gone:
        unused = gone.getsockname()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = (socket.AF_INET, socket.SOCK_STREAM, 6, "")

        async def found(*_: object, **__: object) -> list[Any]:
            return [(*stream, unused), (*stream, listener.getsockname())]

        cast(Any, loop).getaddrinfo = found
        transport, made = await connect(Recorder, "two.example", 80)
        assert transport.get_extra_info("peername") == listener.getsockname()
        transport.abort()
        await until(lambda: made.lost == [None])


def test_writes_of_a_turn_leave_after_its_last_read() -> None:
    async def main() -> None:
        async with joined(2) as [(one, to_one), (two, to_two)]:
            seen: list[str] = []

            def answer(app: Recorder, peer: socket.socket, other: socket.socket) -> None:
                other.setblocking(False)
                try:
                    other.recv(1, socket.MSG_PEEK)
                    seen.append("already sent")
                except BlockingIOError:
                    seen.append("held")
                app.transport.write(b"answer")
                assert app.transport.get_write_buffer_size() == 6

            one.on_data = lambda data: answer(one, to_one, to_two)
            two.on_data = lambda data: answer(two, to_two, to_one)
            to_one.sendall(b"x")
            to_two.sendall(b"x")
            await until(lambda: len(seen) == 2)
            to_one.settimeout(10)
            to_two.settimeout(10)
            assert await read(to_one, 6) == await read(to_two, 6) == b"answer"
            assert seen == ["held", "held"]

    run_in_turns(main())


def test_who_is_paused_by_another_of_its_turn_is_not_told() -> None:
    async def main() -> None:
        async with joined(2) as [(one, to_one), (two, to_two)]:
            one.on_data = lambda data: two.transport.pause_reading()
            two.on_data = lambda data: one.transport.pause_reading()
            to_one.sendall(b"x")
            to_two.sendall(b"x")
            await until(lambda: bool(one.data or two.data))
            paused = two if one.data else one
            one.transport.write(b"-")
            await read(to_one, 1)
            assert (one.data, two.data).count(b"x") == 1
            paused.transport.resume_reading()
            await until(lambda: paused.data == b"x")

    run_in_turns(main())


def test_an_abort_drops_what_was_not_sent() -> None:
    async def main() -> None:
        async with joined() as [(app, peer)]:
            app.transport.write(b"never")
            app.transport.abort()
            assert app.transport.get_write_buffer_size() == 0
            assert await read(peer, 5) == b""
            assert app.lost == [None]
            app.transport.write(b"ignored")
            app.transport.abort()
            assert app.lost == [None]

    run_in_turns(main())


def test_more_connections_than_a_turn_takes_are_all_served() -> None:
    async def main() -> None:
        async with joined(150) as connections:
            for app, peer in connections:
                app.on_data = app.transport.write
                peer.sendall(b"x")
            for _, peer in connections:
                assert await read(peer, 1) == b"x"

    run_in_turns(main())


def test_threads_timers_and_readers_of_the_loop_go_on() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with joined() as [(app, peer)]:
            app.on_data = app.transport.write
            peer.sendall(b"x")
            assert await asyncio.to_thread(lambda: 7) == 7
            fired = asyncio.Event()
            loop.call_later(0.001, fired.set)
            await asyncio.wait_for(fired.wait(), 5)
            ours, theirs = socket.socketpair()
            with ours, theirs:
                readable = asyncio.Event()
                loop.add_reader(ours, readable.set)
                theirs.send(b"x")
                await asyncio.wait_for(readable.wait(), 5)
                loop.remove_reader(ours)
            assert await read(peer, 1) == b"x"

    run_in_turns(main())


def test_out_of_descriptors_it_rests_and_accepts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_REST_S", 0.01)
    heard: list[dict[str, Any]] = []

    class Full(socket.socket):
        refusals = 2

        def accept(self) -> tuple[socket.socket, Any]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "too many open files")
            return super().accept()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: heard.append(said))
        made: list[Recorder] = []

        def make() -> Recorder:
            made.append(Recorder())
            return made[-1]

        listener = Full()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        server = await listen(make, listener)
        with socket.create_connection(listener.getsockname()):
            await until(lambda: len(made) == 1)
            assert len(heard) == 2
        server.close()
        await until(lambda: made[0].lost == [None])

    run_in_turns(main())
