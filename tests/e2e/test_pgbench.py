"""The main job against pgbench: nothing lost, nothing twice, order kept, whatever is killed."""

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.demo.servers import PrivatePostgres, PrivateRabbitMQ
from tests.e2e.pgbench_house import PgbenchHouse


@pytest.fixture
def house(server_folder: Path) -> Iterator[PgbenchHouse]:
    """A house of its own: its servers are killed."""
    with (
        PrivatePostgres.start(server_folder / "postgres") as postgres,
        PrivateRabbitMQ.start(server_folder / "rabbitmq") as rabbitmq,
    ):
        built = PgbenchHouse(server_folder, postgres, rabbitmq)
        try:
            yield built
        finally:
            built.consumer.stop()
            built.bridge.stop()


def run(
    house: PgbenchHouse, *, scale: int, seconds: int, kills: int, seed: int, few: bool = False
) -> None:
    dice = random.Random(seed)
    house.initialise(scale)
    if few:
        house.keep_few_accounts(6_000, rate=250)
    house.bridge.up()
    house.consumer.start()
    # RabbitMQ 3.10 loses the name of a quorum queue that is killed moments after its declaration.
    house.rabbitmq.flush()
    print(f"seed {seed}")
    kills_left = kills
    rounds = 0
    while kills_left or rounds == 0:
        rounds += 1
        with house.load(seconds, seed + rounds) as load:
            while load.poll() is None:
                try:
                    load.wait(dice.uniform(0.5, 2.0) if kills_left else seconds + 60)
                except subprocess.TimeoutExpired:
                    print("killed", house.kill_something(dice))
                    kills_left -= 1
                    if not kills_left:
                        continue
    house.settle(within_s=120 if scale == 1 else 600)
    assert house.problems() == []


# The next one shows the same and more.
@pytest.mark.soak
@pytest.mark.timeout(300)
def test_pgbench_is_rebuilt_from_events_alone(house: PgbenchHouse) -> None:
    run(house, scale=1, seconds=8, kills=0, seed=1)


@pytest.mark.long
@pytest.mark.timeout(420)
def test_pgbench_survives_kills(house: PgbenchHouse) -> None:
    run(house, scale=1, seconds=5, kills=6, seed=20_261_121, few=True)


@pytest.mark.soak
@pytest.mark.timeout(420)
def test_pgbench_at_scale_1_survives_kills(house: PgbenchHouse) -> None:
    run(house, scale=1, seconds=5, kills=6, seed=20_261_122)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_pgbench_at_scale_10_for_a_minute(house: PgbenchHouse) -> None:
    run(house, scale=10, seconds=60, kills=0, seed=3)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_pgbench_at_scale_10_survives_many_kills(house: PgbenchHouse, seed: int) -> None:
    run(house, scale=10, seconds=60, kills=24, seed=seed)
