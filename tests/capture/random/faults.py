"""What happens to capture in the middle of a program, and when."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from bridge.demo.servers import PrivatePostgres
from bridge.model.errors import StorageUnavailable
from tests.capture.points import SNAPSHOT_POINTS, STAGE_POINTS, STREAM_POINTS
from tests.wire import Wire

POINTS = (*STREAM_POINTS, *STAGE_POINTS)
OTHER_ACTIONS = ("half open", "end walsender", "kill server", "log fails")

_LOG_POINTS = tuple(point for point in STREAM_POINTS if point.startswith(("append", "part")))
_OFTEN = frozenset(point for point in STREAM_POINTS if not point.startswith("part"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`action` at the `number`-th time that capture reaches `point`."""

    action: str
    point: str
    number: int

    def __str__(self) -> str:
        return f"{self.action} at {self.point}, time {self.number}"


def plan(seed: int) -> list[Fault]:
    """Return the faults of a seed; ten seeds in a row kill and cut at every named point."""
    chance = random.Random(f"faults of {seed}")

    def at(point: str, action: str) -> Fault:
        # A big transaction is staged and appended in a few pieces, all else comes by the dozen.
        number = chance.randint(1, 8 if point in _OFTEN else 2)
        return Fault(action=action, point=point, number=number)

    reading = chance.choice(SNAPSHOT_POINTS)
    other = OTHER_ACTIONS[seed % len(OTHER_ACTIONS)]
    reached = _LOG_POINTS if other == "log fails" else POINTS
    return [
        at(reading, ("kill", "cut", "kill", "log fails")[seed % 4]),
        at(POINTS[seed % len(POINTS)], "kill"),
        at(POINTS[(seed + 5) % len(POINTS)], "cut"),
        at(chance.choice(reached), other),
    ]


def needs_big(fault: Fault) -> bool:
    """Whether only a big transaction reaches the point."""
    return fault.point not in _OFTEN and fault.point not in SNAPSHOT_POINTS


def actions(
    server: PrivatePostgres, dsn: str, slot: str, cable: Wire
) -> "dict[str, Callable[[], None]]":
    """Return what each action but the kill does; some run in capture's reader thread."""

    def end_walsender() -> None:
        with psycopg.connect(dsn, autocommit=True) as admin:
            admin.execute(
                "select pg_terminate_backend(active_pid) from pg_replication_slots"
                " where slot_name = %s and active_pid is not null",
                (slot,),
            )

    def kill_server() -> None:
        server.kill()
        server.restart()

    def log_fails() -> None:
        raise StorageUnavailable("cannot append: the disk is full")

    return {
        "cut": cable.cut,
        "half open": cable.deaf,
        "end walsender": end_walsender,
        "kill server": kill_server,
        "log fails": log_fails,
    }
