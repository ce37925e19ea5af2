"""How old a backlog may be before it is told of."""

from dataclasses import replace

import pytest

from bridge.control.shown import shown_age
from bridge.gateway.dual.lane_ages import age_alarm, ages_of
from bridge.gateway.routes.sections.dual import Ages, DualRules
from tests.gateway.dual.rig import GROUP, ROUTES


@pytest.mark.parametrize(
    ("oldest_s", "alarm"),
    [(0, "ok"), (4.9, "ok"), (5, "warn"), (60, "guardrail"), (86_400, "dead")],
)
def test_the_oldest_write_decides(oldest_s: float, alarm: str) -> None:
    assert age_alarm(None, oldest_s) == alarm


def test_of_a_groups_routes_the_strictest_limit_counts() -> None:
    strict = DualRules(ages=Ages(warn_s=1, guardrail_s=2, dead_s=90_000))
    routes = [*ROUTES.values(), replace(ROUTES["order-status"], dual=strict)]
    assert ages_of(routes) == {GROUP: Ages(warn_s=1, guardrail_s=2, dead_s=86_400)}


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(4.21, "4.2 s"), (119.0, "119.0 s"), (720, "12 min"), (25_200, "7 h"), (260_000, "3 d")],
)
def test_an_age_is_shown_in_a_unit_that_says_something(seconds: float, shown: str) -> None:
    assert shown_age(seconds) == shown
