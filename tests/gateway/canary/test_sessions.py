"""Sessions over a whole ramp and a roll back, under load, through two workers.

Each client writes and reads a key of its own, through either worker by turns, and must never read
an older value than its own last acknowledged write. Keys that nobody writes meanwhile show who
answers: each moves at most once on the way up and at most once on the way back.
"""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack, closing
from itertools import pairwise

from bridge.gateway.dual.read_sides import ReadSides
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.table import RoutingTable
from bridge.model.http import HttpRequest
from bridge.model.stage import Stage
from bridge.storage.journal.sqlite import SqliteJournal
from tests.gateway.dual.peer import Slow
from tests.gateway.dual.rig import GROUP, ROUTES, Rig
from tests.gateway.http.rig import Gateway
from tests.waiting import be_slow, wait_until_async
from tests.warrants import by

_CLIENTS = 8
_QUIET = 40
_RAMP = (1.0, 5.0, 25.0, 50.0, 100.0)
# Operations of all clients between two steps.
_PER_STEP = 120


class _Worker(Gateway):
    """A worker with the real write path over the shared journal."""

    def __init__(self, rig: Rig, journal: SqliteJournal, name: str) -> None:
        self._journal = journal
        super().__init__(
            {"legacy-app": rig.legacy.port, "modern-orders": rig.modern.port},
            routes=tuple(ROUTES.values()),
            write_path=DualWriter(
                journal=journal,
                ids=journal,
                upstreams=rig.upstreams,
                owner=name,
                redecide=self._redecide,
            ),
            sides=ReadSides(journal=journal, ids=journal),
        )

    def load(self, generation: int) -> RoutingTable:
        """Build the table of where the group stands."""
        return RoutingTable.build(self.routes, self._journal.groups(), generation, self.timings)

    def _redecide(self, request: HttpRequest) -> Decision | None:
        found = self.load(0).decide(request.method, None, request.target)
        return found if isinstance(found, Decision) else None


class _Client:
    """Speaks to all workers by turns."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self._streams: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self._turn = 0

    async def asks(self, line: str, body: bytes = b"") -> tuple[int, dict[str, str]]:
        """Return status and JSON of an answer."""
        self._turn += 1
        port = self._ports[self._turn % len(self._ports)]
        if port not in self._streams:
            self._streams[port] = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = self._streams[port]
        writer.write(
            f"{line} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = head.partition("content-length:")[2].partition("\r\n")[0]
        answer = json.loads(await reader.readexactly(int(length)))
        return int(head.split(" ")[1]), answer

    def close(self) -> None:
        """Hang up."""
        for _, writer in self._streams.values():
            writer.transport.abort()


class _Session:
    """What all clients did, and what they saw."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = ports
        self.stop = asyncio.Event()
        self.operations = 0
        self.stale: list[str] = []
        self.read_on: dict[str, list[str]] = {}
        """Key → the sides that answered, one after the other."""

    async def writes(self, key: str) -> None:
        """Write and read one key; some reads follow at once, some when it may be replayed."""
        with closing(_Client(self._ports)) as client:
            number = 0
            while not self.stop.is_set():
                number += 1
                body = json.dumps({"status": str(number)}).encode()
                status, _ = await client.asks(f"PUT /orders/{key}/status", body)
                if status != 200:
                    # Not acknowledged: a switch overtook it, and said so.
                    assert status == 503, status
                    number -= 1
                for pause_s in (0.0, 0.0, 0.02):
                    await be_slow(pause_s)
                    _, seen = await client.asks(f"GET /orders/{key}")
                    self.operations += 1
                    self.read_on.setdefault(key, []).append(seen["side"])
                    if int(seen["status"]) < number:
                        self.stale.append(f"{key}: {seen} after {number}")

    async def looks(self, keys: Sequence[str]) -> None:
        """Read keys that nobody writes."""
        with closing(_Client(self._ports)) as client:
            while not self.stop.is_set():
                for key in keys:
                    _, seen = await client.asks(f"GET /orders/{key}")
                    self.read_on.setdefault(key, []).append(seen["side"])
                    self.operations += 1


def _moves(sides: Sequence[str]) -> list[tuple[str, str]]:
    return [(before, after) for before, after in pairwise(sides) if before != after]


def test_nobody_reads_an_older_value_than_its_own_through_a_ramp_and_back(rig: Rig) -> None:
    asyncio.run(_ramp(rig))


async def _ramp(rig: Rig) -> None:
    keys = [str(number) for number in range(1, _CLIENTS + _QUIET + 1)]
    for key in keys:
        rig.legacy.orders[key], rig.modern.orders[f"m-{key}"] = ["0"], ["0"]
    rig.desk.import_ids(GROUP, "order", [(key, f"m-{key}") for key in keys], by())
    rig.switch(Stage.DUAL)
    rig.modern.always = Slow(0.01)  # So that keys are pinned for long enough to be read.
    written, quiet = keys[:_CLIENTS], keys[_CLIENTS:]
    with ExitStack() as stack:
        workers = []
        for name in ("worker-a", "worker-b"):
            journal = stack.enter_context(closing(SqliteJournal(rig.path)))
            workers.append(stack.enter_context(_Worker(rig, journal, name)))
        session = _Session([worker.port for worker in workers])
        async with AsyncExitStack() as running:
            await running.enter_async_context(rig.replaying())
            tasks = await running.enter_async_context(asyncio.TaskGroup())
            for key in written:
                tasks.create_task(session.writes(key))
            tasks.create_task(session.looks(quiet[::2]))
            tasks.create_task(session.looks(quiet[1::2]))
            await _everything_read(session, quiet)
            for share in _RAMP:
                await _step(rig, workers, Stage.CANARY, share)
                await _everything_read(session, quiet)
            marks = {key: len(session.read_on[key]) for key in quiet}
            for share in (25.0, 0.0):
                stage = Stage.CANARY if share else Stage.DUAL
                await _step(rig, workers, stage, share)
                await _everything_read(session, quiet)
            session.stop.set()
        assert session.stale == []
        for key in quiet:
            sides, mark = session.read_on[key], marks[key]
            assert _moves(sides[:mark]) == [("legacy", "modern")], key
            assert _moves(sides[mark - 1 :]) == [("modern", "legacy")], key
        seen = {side for key in written for side in session.read_on[key]}
        assert seen == {"legacy", "modern"}, "keys that are written reach modern, too"
        await rig.drained()


async def _step(rig: Rig, workers: Sequence[Gateway], stage: Stage, share: float) -> None:
    state = rig.desk.group(GROUP)
    assert state is not None
    rig.desk.switch(GROUP, stage, expected_epoch=state.epoch, warrant=by(), share_percent=share)
    for worker in workers:
        worker.generation.value += 1


async def _everything_read(session: _Session, quiet: Sequence[str]) -> None:
    """Wait until every quiet key was read, and the others were used, since now."""
    before = {key: len(session.read_on.get(key, ())) for key in quiet}
    wanted = session.operations + _PER_STEP
    await wait_until_async(
        lambda: (
            session.operations >= wanted
            # The second one was asked for after the first was answered, which may be of before.
            and all(len(session.read_on.get(key, ())) > before[key] + 1 for key in quiet)
        ),
        what="reads of every key",
    )
