"""One side as a process of its own, to be killed or stopped at any moment: it keeps orders.

Run as `python -m tests.gateway.resilience.side NAME PORT`; prints a line once it listens. `GET
/orders/{id}` shows an order, `GET /orders` all of them, `PUT /orders/{id}/status` changes one, and
`PUT /_status` with a number lets every read be answered with that status.
"""

import asyncio
import json
import signal
import subprocess
import sys
from typing import Any

_ORDERS: dict[str, str] = {}
_ANSWER = {"status": 200}
_SEEN: list[str] = []


def _answer(name: str, method: str, path: str, body: bytes) -> tuple[int, Any]:
    parts = path.partition("?")[0].strip("/").split("/")
    if path == "/_seen":
        return 200, _SEEN
    if path == "/_status":
        _ANSWER["status"] = int(body)
        return 200, {}
    _SEEN.append(f"{method} {path}")
    if method == "PUT":
        _ORDERS[parts[1]] = json.loads(body)["status"]
        return 200, {"order_id": parts[1], "status": _ORDERS[parts[1]]}
    if len(parts) == 1:
        return _ANSWER["status"], {"orders": dict(sorted(_ORDERS.items())), "side": name}
    return _ANSWER["status"], {"order_id": parts[1], "status": _ORDERS.get(parts[1]), "side": name}


async def _serve(name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, _ = head.split(" ", 2)
            length = 0
            for line in head.split("\r\n")[1:]:
                field, _, value = line.partition(":")
                if field.lower() == "content-length":
                    length = int(value)
            body = await reader.readexactly(length) if length else b""
            status, value = _answer(name, method, path, body)
            data = json.dumps(value).encode()
            fields = f"Content-Type: application/json\r\nX-Side: {name}\r\n"
            writer.write(
                f"HTTP/1.1 {status} OK\r\n{fields}Content-Length: {len(data)}\r\n\r\n".encode()
                + data
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def _main(name: str, port: int) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: _serve(name, reader, writer), "127.0.0.1", port, backlog=1024
    )
    print("listening", flush=True)
    async with server:
        await server.serve_forever()


class SideProcess:
    """One side, from outside."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it anew, without any order, and wait until it listens."""
        argv = [sys.executable, "-m", "tests.gateway.resilience.side", self.name, str(self.port)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"listening\n"

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kill it with -9, stopped or not."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stdout is not None
            self.process.stdout.close()
            self.process = None


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
