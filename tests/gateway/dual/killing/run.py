"""One run under a seed: clients, a schedule of kills and faults, and what is left afterwards."""

import asyncio
import http.client
import json
import random
import sqlite3
from pathlib import Path
from typing import NamedTuple

from bridge.model.stage import Stage
from bridge.model.write import JournalledWrite, WriteState
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.journal_opening import Desk
from bridge.runtime.wiring.stores import Stores
from tests.gateway.dual.killing.clients import Client
from tests.gateway.dual.killing.fleet import REPLAY, SIDES, WORKERS, Fleet, Store
from tests.gateway.dual.killing.history import Evidence, Execution, Record, Told
from tests.gateway.dual.killing.points import REPLAY_STEPS, WORKER_STEPS
from tests.gateway.dual.killing.side import connect, faults_of
from tests.waiting import be_slow, wait_until, wait_until_async
from tests.warrants import by

GROUP = "orders"
ORDERS = [str(number) for number in range(1, 7)]
_CLIENTS = 6
# An armed step that traffic does not pass within this time is made a kill at a random moment; one
# that a run has to reach is given more.
_STEP_WITHIN_S, _DUE_STEP_WITHIN_S = 0.6, 3.0
_REST_WITHIN_S = 60.0
_ANSWERS_BETWEEN = 6
# A whole ramp, its roll back in two steps, and up again; one step for each kill, over and over.
_RAMP = (25.0, 50.0, 100.0, 50.0, None, 25.0)
# The authority changes sides and back while keys have replays on their way.
_TURNS = (Stage.MODERN, Stage.MODERN, Stage.DUAL, Stage.MODERN, Stage.DUAL, Stage.DUAL)


class Outcome(NamedTuple):
    """What a run was and what it left."""

    evidence: Evidence
    points: tuple[str, ...]
    """Each kill: role and the step that was really reached, or role and `random`."""


class Run:
    """One fleet with its desk, under one seed."""

    def __init__(
        self, fleet: Fleet, seed: int, store: Store | None, due: set[str], *, plain: bool
    ) -> None:
        self.fleet = fleet
        self.due = due
        self.format = "{}" if plain else "m-{}"
        """Of the ids on the modern side, by those on the legacy side."""
        self.chance = random.Random(seed)
        self.store = store
        self.stores = Stores(load_settings(fleet.config))

    @property
    def desk(self) -> Desk:
        """Return the desk of the journal."""
        return self.stores.desk()

    def prepare(self) -> None:
        """Start everything at stage dual with a few orders on both sides."""
        fleet = self.fleet
        for side in SIDES:
            store = connect(fleet.folder / f"{side}.db")
            for order_id in ORDERS:
                own = order_id if side == "legacy" else self.format.format(order_id)
                store.execute("INSERT INTO orders VALUES (?, 'new', 1)", (own,))
            if side == "modern":  # The sides count differently, so that ids never meet by accident.
                for number in range(50):
                    store.execute("INSERT INTO orders VALUES (?, 'other', 1)", (f"x-{number}",))
            store.close()
            fleet.start(side)
        pairs = [(order_id, self.format.format(order_id)) for order_id in ORDERS]
        self.desk.import_ids(GROUP, "order", pairs, by())
        self.stores.switchboard().switch(GROUP, Stage.SHADOW, warrant=by())
        self.stores.switchboard().switch(GROUP, Stage.DUAL, warrant=by())
        for role in (*WORKERS, REPLAY):
            fleet.start(role)
        fleet.await_ready()


def run(
    folder: Path,
    seed: int,
    points: int,
    *,
    journal: str = "sqlite",
    store: Store | None = None,
    defect: str = "",
    ramp: bool = False,
    turns: bool = False,
    level: str = "L2",
    due: set[str] | None = None,
    plain: bool = False,
) -> Outcome:
    """Run one schedule with `points` kills; everything has come to rest when it returns.

    With `ramp` the group goes up and down a canary's ramp meanwhile, a step during each kill; with
    `turns` it is switched to modern and rolled back.
    `level` is that of all writes. Steps that are `due` are armed before others and taken out of it
    when a process was killed there.
    `defect` plants one into the gateway (see `points.plant`), for a checker that must find it. With
    `plain` most writes are of a route that translates nothing: what is created is not written to.
    """
    wired = seed % 2 == 0
    with Fleet(
        folder, wired=wired, journal=journal, defect=defect, level=level, plain=plain
    ) as fleet:
        run = Run(fleet, seed, store, set() if due is None else due, plain=plain)
        with run.stores:
            run.prepare()
            keys = list(ORDERS)
            clients = [
                Client(number, fleet.ports["gateway"], seed, keys, 0 if plain else 24)
                for number in range(_CLIENTS)
            ]
            done = asyncio.run(_storm(run, clients, points, ramp=ramp, turns=turns))
            _come_to_rest(fleet, run.desk)
            return Outcome(_evidence(run, clients), tuple(done))


async def _storm(
    run: Run, clients: list[Client], points: int, *, ramp: bool, turns: bool
) -> list[str]:
    stop = asyncio.Event()
    done: list[str] = []
    chance = run.chance
    async with asyncio.TaskGroup() as tasks:
        for client in clients:
            tasks.create_task(client.run(stop))
        await be_slow(0.3)
        while len(done) < points:
            if chance.random() < 0.5:
                await asyncio.to_thread(_disturb, run.fleet, chance)
            if run.store is not None and (len(done) == 2 or chance.random() < 0.15):
                await asyncio.to_thread(_kill_store, run.fleet, run.store, chance)
                done.append("store random")
            killed = asyncio.to_thread(_kill_one, run.fleet, chance, run.due)
            if ramp or turns:
                step = _step_of_ramp if ramp else _turn
                stepped = asyncio.to_thread(step, run, len(done))
                await asyncio.gather(stepped, one := asyncio.ensure_future(killed))
                done.append(await one)
            else:
                done.append(await killed)
            await be_slow(chance.random() * 0.15)
            await _progress(run.fleet, clients)
            _decide_parked(run.desk)
        stop.set()
    return done


async def _progress(fleet: Fleet, clients: list[Client]) -> None:
    """Let a few operations through: kills that nobody notices prove nothing."""

    def answered() -> int:
        _revive_sides(fleet)
        return sum(
            operation.told is Told.DONE for client in clients for operation in client.operations
        )

    wanted = answered() + _ANSWERS_BETWEEN
    await wait_until_async(lambda: answered() >= wanted, timeout_s=20, what="answers")


def _step_of_ramp(run: Run, number: int) -> None:
    share = _RAMP[number % len(_RAMP)]
    stage = Stage.DUAL if share is None else Stage.CANARY
    board = run.stores.switchboard()
    state = next(state for state in board.groups() if state.group == GROUP)
    if (state.stage, state.share_percent) != (stage, share or 0.0):
        board.switch(GROUP, stage, by(), share_percent=share or 0.0)


def _turn(run: Run, number: int) -> None:
    stage = _TURNS[number % len(_TURNS)]
    board = run.stores.switchboard()
    state = next(state for state in board.groups() if state.group == GROUP)
    if state.stage is not stage:
        board.switch(GROUP, stage, by())


def _kill_store(fleet: Fleet, store: Store, chance: random.Random) -> None:
    store.kill()
    fleet.ended(REPLAY, chance.random() * 0.5)
    store.restart()


def _kill_one(fleet: Fleet, chance: random.Random, due: set[str]) -> str:
    """Kill one process, at a step or at a moment, and start it again."""
    role = chance.choice([*WORKERS, *WORKERS, REPLAY, REPLAY, *SIDES])
    steps = {REPLAY: REPLAY_STEPS}.get(role, () if role in SIDES else WORKER_STEPS)
    step = "random"
    if steps and chance.random() < 0.7:
        first = [step for step in steps if step in due]
        wanted = chance.choice(first or steps)
        fleet.armed(role).write_text(f"{wanted} {chance.randrange(4)}")
        if fleet.ended(role, _DUE_STEP_WITHIN_S if first else _STEP_WITHIN_S):
            step = wanted
            due.discard(step)
    fleet.kill(role)
    if role == "modern" and chance.random() < 0.3:
        # The other side is down for a while: everything for it has to wait.
        fleet.ended(REPLAY, chance.random() * 0.8)
        if not fleet.alive(REPLAY):
            fleet.kill(REPLAY)
            fleet.start(REPLAY)
    fleet.start(role)
    _revive_sides(fleet)
    return f"{role} {step}"


def _revive_sides(fleet: Fleet) -> None:
    """Start a side again that died of a fault of its own, whenever it met that fault."""
    for side in SIDES:
        if not fleet.alive(side):
            fleet.kill(side)
            fleet.start(side)


def _disturb(fleet: Fleet, chance: random.Random) -> None:
    """Give one side faults for its next writes, or break the wire to it for a moment."""
    side = chance.choice(SIDES)
    if fleet.wires and chance.random() < 0.4:
        wire = fleet.wires[side]
        chance.choice((wire.cut, wire.deaf, wire.refuse))()
        fleet.ended(REPLAY, chance.random() * 0.4)
        wire.resume()
        return
    _tell_side(fleet, side, faults_of(chance, side))


def _tell_side(fleet: Fleet, side: str, faults: list[str]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", fleet.ports[side], timeout=2)
    try:
        connection.request("POST", "/fault", json.dumps(faults))
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        pass  # It is down: that is fault enough.
    finally:
        connection.close()


def _decide_parked(desk: Desk) -> None:
    """Do what an operator does about a refusal that has passed: replay it."""
    for write in desk.list_writes(state=WriteState.PARKED):
        desk.replay(write.intent.intent_id, by("ana", "the refusal has passed"))


def _come_to_rest(fleet: Fleet, desk: Desk) -> None:
    for role in (*WORKERS, REPLAY, *SIDES):
        if not fleet.alive(role):
            if role in SIDES:
                fleet.kill(role)
            fleet.start(role)
    fleet.await_ready()
    for wire in fleet.wires.values():
        wire.resume()
    for side in SIDES:
        _tell_side(fleet, side, [])

    def rests() -> bool:
        _decide_parked(desk)
        # A person is asked only about what no way could tell.
        for write in desk.list_writes(state=WriteState.IN_DOUBT):
            if "needs a person" in (write.reason or ""):
                _decide_doubt(fleet, desk, write)
        return not (desk.lane_counts() or _unsettled(desk))

    try:
        wait_until(rests, timeout_s=_REST_WITHIN_S, what="rest")
    except AssertionError as exc:
        left = [
            (write.intent.route, write.state.value, write.attempts, write.reason)
            for write in _unsettled(desk)
        ]
        exc.add_note(f"left: {left}\nlanes: {desk.lane_counts()}\nlog: {fleet.log}")
        raise


def _unsettled(desk: Desk) -> list[JournalledWrite]:
    waiting = (WriteState.INTENT, WriteState.IN_DOUBT, WriteState.APPLIED, WriteState.PARKED)
    return [write for state in waiting for write in desk.list_writes(state=state)]


def _decide_doubt(fleet: Fleet, desk: Desk, write: JournalledWrite) -> None:
    value = json.loads(write.intent.request.body)["value"]
    side = write.intent.authority.value
    made = [execution for execution in _log(fleet, side) if execution.value == value]
    creates = write.intent.route == "order-create"
    desk.resolve(
        write.intent.intent_id,
        WriteState.APPLIED if made else WriteState.FAILED,
        warrant=by("ana", "looked"),
        ids={"order": made[0].key} if made and creates else None,
    )


def _log(fleet: Fleet, side: str) -> tuple[Execution, ...]:
    store = sqlite3.connect(fleet.folder / f"{side}.db")
    try:
        rows = store.execute("SELECT id, value, idempotency_key FROM log ORDER BY n").fetchall()
    finally:
        store.close()
    return tuple(Execution(*row) for row in rows)


def _evidence(run: Run, clients: list[Client]) -> Evidence:
    fleet, desk, journal = run.fleet, run.desk, run.stores.journal()
    records = [
        Record(
            write.intent.intent_id,
            str(json.loads(write.intent.request.body)["value"]),
            write.state.value,
        )
        for state in WriteState
        for write in desk.list_writes(state=state, count_max=1_000_000)
    ]
    listed = {
        str(draft.fields["intent"])
        for _, draft in desk.pending(1_000_000)
        if draft.fields.get("to") == WriteState.IN_DOUBT.value
    }
    legacy = _log(fleet, "legacy")
    known = [journal.pair(GROUP, "order", execution.key) for execution in legacy]
    pairs = {pair.legacy_id: pair.modern_id for pair in known if pair is not None}
    # Clients know what modern made by modern's id; the evidence names each order by legacy's.
    names = {found: legacy_id for legacy_id, found in pairs.items()}
    return Evidence(
        operations=tuple(
            operation._replace(key=names.get(operation.key, operation.key))
            for client in clients
            for operation in client.operations
        ),
        legacy=legacy,
        modern=_log(fleet, "modern"),
        pairs={legacy_id: found for legacy_id, found in pairs.items() if legacy_id and found},
        journal=tuple(records),
        listed=frozenset(listed),
        initial=dict.fromkeys(ORDERS, "new"),
    )
