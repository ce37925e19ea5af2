"""Many clients at once, each with one request on a connection of its own."""

import asyncio
import time
from collections import Counter
from typing import NamedTuple


class Heard(NamedTuple):
    """What one client got."""

    status: int
    head: bytes
    took_s: float


async def ask(port: int, target: bytes, lines: bytes = b"") -> Heard:
    """Send one GET and return the answer."""
    began = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n%b\r\n" % (target, lines))
        data = await asyncio.wait_for(reader.read(), 20)
    finally:
        writer.close()
    head = data.partition(b"\r\n\r\n")[0]
    return Heard(int(head.split(b" ")[1]), head, time.monotonic() - began)


async def _all(port: int, targets: list[bytes]) -> list[Heard]:
    return list(await asyncio.gather(*(ask(port, target) for target in targets)))


def crowd(port: int, targets: list[bytes]) -> list[Heard]:
    """Ask everything at once; return the answers in the same order."""
    return asyncio.run(_all(port, targets))


def statuses(heard: list[Heard]) -> Counter[int]:
    """Count the answers by status."""
    return Counter(each.status for each in heard)


async def _steady(port: int, clients: int, seconds: float) -> list[Heard]:
    end = time.monotonic() + seconds
    heard: list[Heard] = []

    async def client() -> None:
        while time.monotonic() < end:
            heard.append(await ask(port, b"/steady"))

    await asyncio.gather(*(client() for _ in range(clients)))
    return heard


def steady(port: int, clients: int, seconds: float) -> list[Heard]:
    """Ask again and again from so many clients for so long."""
    return asyncio.run(_steady(port, clients, seconds))
