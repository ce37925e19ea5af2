"""Send random exchanges over many pipelined connections at once, and judge each."""

import asyncio
import re
from contextlib import suppress
from random import Random
from typing import Final

from tests.gateway.abuse.runner import Proxy
from tests.gateway.abuse.strict import read_answers, read_requests
from tests.gateway.roundtrip.judge import judge_answer, judge_request
from tests.gateway.roundtrip.messages import Exchange, Maker

_CONNECTIONS: Final = 16
_AHEAD_MAX: Final = 8
_NUMBER: Final = re.compile(rb"/e/([0-9]+)/")
_DEADLINE_S: Final = 30.0


class Traffic:
    """One seed's exchanges."""

    def __init__(self, seed: int) -> None:
        self._maker = Maker(Random(seed))
        self._exchanges: dict[int, Exchange] = {}
        self._made = 0
        self.wrongs: list[str] = []
        self.judged = 0

    async def run(self, start: Proxy, count: int) -> None:
        """Make, send and judge `count` exchanges."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        (port,) = await start([server.sockets[0].getsockname()[1]])
        async with server, asyncio.TaskGroup() as group:
            for _ in range(_CONNECTIONS):
                group.create_task(self._clients(port, count))

    # -- the clients' end -----------------------------------------------------------------------

    async def _clients(self, port: int, count: int) -> None:
        while self._made < count:
            ahead = self._maker.ahead(min(_AHEAD_MAX, count - self._made))
            batch = []
            for left in range(ahead, 0, -1):
                self._made += 1
                batch.append(self._maker.exchange(self._made, last=left == 1))
            self._exchanges.update({one.number: one for one in batch})
            try:
                async with asyncio.timeout(_DEADLINE_S):
                    await self._client(port, batch)
            except TimeoutError:
                self.wrongs.append(f"no answers to {[one.number for one in batch]}")
            for exchange in batch:
                self._judged(exchange)

    async def _client(self, port: int, batch: list[Exchange]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sending = asyncio.create_task(self._send(writer, b"".join(one.request for one in batch)))
        raw, ended = b"", False
        methods = tuple(one.method for one in batch)
        while True:
            read = read_answers(raw, methods, ended=ended)
            finals = [one for one in read.messages if one.complete and one.status >= 200]
            if read.faults or ended or (len(finals) == len(batch) and not batch[-1].close):
                break
            data = await reader.read(65_536)
            ended = not data
            raw += data
        await sending
        writer.close()
        self._answers(batch, raw, methods, ended=ended)

    def _answers(
        self, batch: list[Exchange], raw: bytes, methods: tuple[bytes, ...], *, ended: bool
    ) -> None:
        read = read_answers(raw, methods, ended=ended)
        if read.faults or read.rest:
            batch[0].seen.append(f"answers {read.faults} {read.rest[:80]!r}")
            return
        at, group, heads = 0, [], []
        exchanges = iter(batch)
        for message, span in zip(read.messages, read.spans, strict=True):
            group.append(message)
            heads.append(raw[span[0] : span[1]])
            if message.status >= 200:
                exchange = next(exchanges)
                at += 1
                judge_answer(exchange, heads, group)
                group, heads = [], []
        for exchange in exchanges:
            exchange.seen.append("no answer")

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        with suppress(ConnectionError):
            for piece in self._maker.pieces(data):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    def _judged(self, exchange: Exchange) -> None:
        del self._exchanges[exchange.number]
        self.judged += 1
        if exchange.arrived != 1:
            exchange.seen.append(f"reached the upstream {exchange.arrived} times")
        if exchange.seen:
            self.wrongs.append(f"{exchange.number} {exchange.request[:300]!r}: {exchange.seen}")

    # -- the upstream's end ---------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raw = b""
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                raw += data
                read = read_requests(raw)
                if read.faults:
                    self.wrongs.append(f"upstream got {read.faults} {raw[:300]!r}")
                    break
                if not read.messages or not read.messages[0].complete:
                    continue
                assert len(read.messages) == 1, "a gateway does not pipeline"
                (span,) = read.spans
                number = _NUMBER.match(read.messages[0].target)
                exchange = self._exchanges.get(int(number[1])) if number else None
                if exchange is None:
                    self.wrongs.append(f"upstream got {read.messages[0].start!r}")
                    break
                judge_request(exchange, raw[span[0] : span[1]], read.messages[0])
                raw = b""
                await self._send(writer, exchange.answer.raw)
                if exchange.answer.until_close:
                    break
        writer.close()
