"""What happens to capture in the middle of a program, and when."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from bridge.demo.servers import PrivatePostgres
from bridge.model.errors import StorageUnavailable
from tests.capture.points import SNAPSHOT_POINTS, STAGE_POINTS, STREAM_POINTS
from tests.wire import Wire

ACTIONS = ("kill", "kill", "kill", "cut", "half open", "end walsender", "kill server", "log fails")


_OFTEN = frozenset(point for point in STREAM_POINTS if not point.startswith("part"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`action` at the `number`-th time that capture reaches `point`."""

    action: str
    point: str
    number: int

    def __str__(self) -> str:
        return f"{self.action} at {self.point}, time {self.number}"


def plan(seed: int, count: int, *, streaming: bool) -> list[Fault]:
    """Return the faults of a seed: the first hits the reading of the tables."""
    within_reach = (*STREAM_POINTS, *STAGE_POINTS) if streaming else STREAM_POINTS
    chance = random.Random(f"faults of {seed}")
    faults = [
        Fault(
            action=chance.choice(["kill", "kill", "cut", "log fails"]),
            point=chance.choice(SNAPSHOT_POINTS),
            number=chance.randint(1, 6),
        )
    ]
    for _ in range(count - 1):
        action = chance.choice(ACTIONS)
        points = [point for point in within_reach if action != "log fails" or _is_log(point)]
        point = chance.choice(points)
        # A big transaction is staged and appended in a few pieces.
        number = chance.randint(1, 8 if point in _OFTEN else 2)
        faults.append(Fault(action=action, point=point, number=number))
    return faults


def needs_big(fault: Fault) -> bool:
    """Whether only a big transaction reaches the point."""
    return fault.point not in _OFTEN and fault.point not in SNAPSHOT_POINTS


def _is_log(point: str) -> bool:
    return point.startswith(("append", "part"))


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
