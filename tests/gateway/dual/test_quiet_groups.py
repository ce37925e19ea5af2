"""When reads need not ask about their key any more."""

from dataclasses import replace

import pytest

from bridge.gateway.dual.ports import Behind
from bridge.gateway.dual.quiet_groups import SETTLES_S, QuietGroups
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.routes.table import RoutingTable
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.dual.rig import GROUP, ROUTES

IN_PATH = KeyRule(place=KeyPlace.PATH, name="order_id", entity="order")
NOTHING = Behind(unreplayed=False, open=False)


class Book:
    """What a journal says of a whole group, as a test has it."""

    def __init__(self) -> None:
        self.says = NOTHING
        self.asked: list[Side] = []

    def behind(self, group: str, side: Side) -> Behind:
        """Answer, and remember that somebody asked."""
        assert group == GROUP
        self.asked.append(side)
        return self.says


class Clock:
    """Monotonic seconds that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def decided(stage: Stage, epoch: int, share: float = 0.0) -> Decision:
    """Return the decision for a read with its key in the path, and no ids to translate."""
    route = replace(ROUTES["order-read"], key=IN_PATH, ids=IdRules())
    state = GroupState(group=GROUP, stage=stage, epoch=epoch, lanes_held=False, share_percent=share)
    decision = RoutingTable.build((route,), (state,), 1).decide(b"GET", None, b"/orders/1")
    assert isinstance(decision, Decision)
    return decision


def test_a_key_in_the_path_is_asked_about_once_its_group_was_switched() -> None:
    assert not decided(Stage.LEGACY, 0).has_ids
    for stage in (Stage.LEGACY, Stage.SHADOW, Stage.DUAL, Stage.MODERN):
        assert decided(stage, 1).has_ids
    # There the choice of the side has asked already.
    assert not decided(Stage.CANARY, 1, 50.0).has_ids


@pytest.mark.parametrize(
    "says", [Behind(unreplayed=True, open=False), Behind(unreplayed=False, open=True)]
)
def test_a_group_is_quiet_when_nothing_is_on_its_way_and_nothing_may_become_so(
    says: Behind,
) -> None:
    book, clock = Book(), Clock()
    groups, decision = QuietGroups(book, clock), decided(Stage.MODERN, 3)
    assert not groups.is_quiet(decision)
    clock.now += SETTLES_S - 1
    assert not groups.is_quiet(decision)
    assert not book.asked  # What was sent before the switch may still be recorded.
    clock.now += 1
    book.says = says
    assert not groups.is_quiet(decision)
    book.says = NOTHING
    assert not groups.is_quiet(decision)
    assert book.asked == [Side.MODERN]  # One look in a second.
    clock.now += 1
    assert groups.is_quiet(decision)
    book.says = says
    assert groups.is_quiet(decision)  # Writes of this epoch go to the authority.
    assert book.asked == [Side.MODERN] * 2


def test_the_next_switch_begins_anew() -> None:
    book, clock = Book(), Clock()
    groups = QuietGroups(book, clock)
    groups.is_quiet(decided(Stage.MODERN, 3))
    clock.now += SETTLES_S
    assert groups.is_quiet(decided(Stage.MODERN, 3))
    assert not groups.is_quiet(decided(Stage.LEGACY, 4))
    clock.now += SETTLES_S
    assert groups.is_quiet(decided(Stage.LEGACY, 4))
    assert book.asked == [Side.MODERN, Side.LEGACY]


def test_the_side_that_gets_replays_all_the_time_is_never_quiet() -> None:
    book, clock = Book(), Clock()
    groups = QuietGroups(book, clock)
    cohort = decided(Stage.CANARY, 3, 50.0).elsewhere()
    assert cohort.authority is Side.MODERN
    groups.is_quiet(cohort)
    clock.now += SETTLES_S
    assert not groups.is_quiet(cohort)
    assert not book.asked
