"""What a turn does: everything is read before anything is written, and all else goes on."""

import asyncio
import errno
import socket
from typing import Any

import pytest

from bridge.gateway.wires import opening
from bridge.gateway.wires.opening import listen
from bridge.gateway.wires.turns import run_in_turns
from tests.gateway.wires.rig import Recorder, joined, read, until


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
