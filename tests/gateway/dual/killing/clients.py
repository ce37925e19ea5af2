"""Clients over HTTP that write down what they asked and what they were told."""

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import NamedTuple

from tests.gateway.dual.killing.history import Kind, Operation, Told
from tests.waiting import be_slow

_ANSWER_WITHIN_S = 6.0
_KEYED_TRIES = 4
_PAUSE_S = 0.02
_CONNECTION_TURNS = 7


class _Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One client on one keep-alive connection."""

    def __init__(
        self, number: int, port: int, seed: int, keys: list[str], keys_max: int = 24
    ) -> None:
        self._number = number
        self._port = port
        self._chance = random.Random(f"{seed}/{number}")
        self._keys = keys
        """Shared by all clients; grows by what they create, up to `keys_max`."""
        self._keys_max = keys_max
        self.operations: list[Operation] = []
        self._stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Go on until `stop`; the operation under way is finished."""
        turn = 0
        while not stop.is_set():
            turn += 1
            if turn % _CONNECTION_TURNS == 0:
                self._close()  # So that every worker keeps getting clients.
            value = f"c{self._number}-{turn}"
            draw = self._chance.random()
            key = self._chance.choice(self._keys)
            if draw < 0.35:
                await self._read(key)
            elif draw < 0.40:
                await self._create(value)
            elif draw < 0.75:
                await self._write(Kind.WRITE, key, f"PUT /orders/{key}", value, None)
            else:
                own_key = f'"{value}"'
                await self._write(Kind.WRITE, key, f"POST /orders/{key}/notes", value, own_key)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._chance.random() * _PAUSE_S):
                    await stop.wait()
        self._close()

    async def _read(self, key: str) -> None:
        invoked = time.monotonic()
        answer = await self._exchange(f"GET /orders/{key}", None, None)
        if answer is None or answer.status != 200:
            return
        value = str(json.loads(answer.body)["value"])
        self._note(Kind.READ, key, value, invoked, Told.DONE)

    async def _create(self, value: str) -> None:
        invoked = time.monotonic()
        answer = await self._exchange("POST /orders", value, None)
        told, intent_id = _told(answer)
        key = None
        if told is Told.DONE and answer is not None:
            # Of a write that is not on both sides yet (L3), the id is not told.
            key = json.loads(answer.body).get("order_id")
            key = None if key is None else str(key)
        self._note(Kind.CREATE, key, value, invoked, told, intent_id)
        if key is not None and len(self._keys) < self._keys_max:
            self._keys.append(key)

    async def _write(
        self, kind: Kind, key: str, line: str, value: str, idempotency_key: str | None
    ) -> None:
        """Write once; with an Idempotency-Key, ask again until it is known."""
        invoked = time.monotonic()
        told, intent_id, doubted = Told.NOTHING, None, None
        for _ in range(_KEYED_TRIES if idempotency_key else 1):
            told, intent_id = _told(await self._exchange(line, value, idempotency_key))
            if told is Told.DOUBT:
                doubted = intent_id
            if told is Told.DONE:
                break
            await be_slow(_PAUSE_S)
        if told is Told.REFUSED and idempotency_key:
            told = Told.NOTHING  # An earlier try may have been carried out.
        if told is Told.NOTHING and doubted is not None:
            told, intent_id = Told.DOUBT, doubted
        self._note(kind, key, value, invoked, told, intent_id)

    def _note(
        self,
        kind: Kind,
        key: str | None,
        value: str,
        invoked: float,
        told: Told,
        intent_id: str | None = None,
    ) -> None:
        self.operations.append(
            Operation(self._number, kind, key, value, invoked, time.monotonic(), told, intent_id)
        )

    async def _exchange(
        self, line: str, value: str | None, idempotency_key: str | None
    ) -> _Answer | None:
        body = b"" if value is None else json.dumps({"value": value}).encode()
        head = f"{line} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {len(body)}\r\n"
        if value is not None:
            head += "Content-Type: application/json\r\n"
        if idempotency_key is not None:
            head += f"Idempotency-Key: {idempotency_key}\r\n"
        try:
            async with asyncio.timeout(_ANSWER_WITHIN_S):
                if self._stream is None:
                    self._stream = await asyncio.open_connection("127.0.0.1", self._port)
                reader, writer = self._stream
                writer.write(f"{head}\r\n".encode() + body)
                await writer.drain()
                return await _answer(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            self._close()
            await be_slow(_PAUSE_S)
            return None

    def _close(self) -> None:
        if self._stream is not None:
            self._stream[1].transport.abort()
            self._stream = None


async def _answer(reader: asyncio.StreamReader) -> _Answer:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return _Answer(int(first.split(" ")[1]), headers, body)


def _told(answer: _Answer | None) -> tuple[Told, str | None]:
    if answer is None:
        return Told.NOTHING, None
    intent_id = answer.headers.get("legacy-bridge-intent")
    if answer.status < 300:
        return Told.DONE, None
    if "in-doubt" in answer.headers.get("legacy-bridge-error", "") and answer.status != 503:
        return Told.DOUBT, intent_id
    if answer.status == 409:
        return Told.NOTHING, intent_id  # Running, or applied with its answer lost.
    return Told.REFUSED, intent_id
