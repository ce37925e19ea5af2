"""The Python library `websockets` as a server that echoes, or as a client that says what it saw.

Run by a Python that has it: `websockets_peer.py serve` | `websockets_peer.py talk URL`.
"""

import asyncio
import json
import sys
from typing import Any

import websockets  # type: ignore[import-not-found]  # From a virtual environment of its own.


async def _echo(socket: Any) -> None:
    await socket.send(f"hello {socket.request.path}")
    async for message in socket:
        if message == "close, please":
            await socket.close(4001, "as asked")
            return
        await socket.send(message)


async def _serve() -> None:
    options = {"subprotocols": ["echo.2"], "max_size": 1 << 24}
    async with websockets.serve(_echo, "127.0.0.1", 0, **options) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()


def _described(message: str | bytes) -> str:
    if isinstance(message, str):
        return f"text {message}"
    return f"binary {len(message)} {message[:4].hex()}"


async def _talk(url: str) -> None:
    options = {"subprotocols": ["echo.1", "echo.2"], "max_size": 1 << 24}
    async with websockets.connect(url, **options) as socket:
        extensions = socket.response.headers["Sec-WebSocket-Extensions"].split(";")[0]
        said = [f"protocol {socket.subprotocol}", f"extensions {extensions}"]
        await socket.send("text é")
        await socket.send(b"\x00\xff\r\n")
        await socket.send(["frag", "mented"])
        await socket.send(b"\x07" * 1_000_000)
        await (await socket.ping("are you there"))
        said.append("pong are you there")
        said.extend([_described(await socket.recv()) for _ in range(5)])
        await socket.send("close, please")
        await socket.wait_closed()
        said.append(f"close {socket.close_code} {socket.close_reason}")
        print(json.dumps(sorted(said)))


asyncio.run(_serve() if sys.argv[1] == "serve" else _talk(sys.argv[2]))
