"""Random valid messages, both ways: nothing changed that no rule changes.

Any split into packets, pipelined, by length, in chunks with extensions and trailers, or until the
connection ends; any case and order of fields; any target; interim answers, HEAD, 204 and 304;
HTTP/1.0. What is compared is the bytes of every head, body and trailer section.
"""

import pytest

from bridge.gateway.wires.turns import run_in_turns
from tests.gateway.abuse.ours import ours
from tests.gateway.roundtrip.traffic import Traffic

_SOAK_SEEDS = 20
_SOAK_COUNT = 5_000


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_changed_that_no_rule_changes(seed: int) -> None:
    _check(seed, 400)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(1_000, 1_000 + _SOAK_SEEDS))
def test_nothing_is_changed_in_100_000_messages(seed: int) -> None:
    _check(seed, _SOAK_COUNT)


def _check(seed: int, count: int) -> None:
    traffic = Traffic(seed)
    run_in_turns(_run(traffic, count))
    assert traffic.wrongs == []
    assert traffic.judged == count


async def _run(traffic: Traffic, count: int) -> None:
    async with ours() as start:
        await traffic.run(start, count)
