"""What transports promise, shown for wires and asyncio's own alike; and what wires do besides."""

import asyncio
import errno
import socket
from typing import Any, cast

import pytest

from bridge.gateway.wires.opening import connect
from tests.gateway.wires.rig import Recorder, joined, on_both, read, until

LARGE = bytes(range(256)) * 40_000


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
