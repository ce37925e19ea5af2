"""The table of stages, walked pair by pair."""

import itertools

import pytest

from bridge.model.errors import StepForbidden
from bridge.model.stage import Stage
from bridge.switching.stages import BUILT, STEPS, check_step, is_back

LEGAL = {
    (Stage.LEGACY, Stage.SHADOW),
    (Stage.LEGACY, Stage.DUAL),
    (Stage.SHADOW, Stage.DUAL),
    (Stage.SHADOW, Stage.LEGACY),
    (Stage.DUAL, Stage.MODERN),
    (Stage.DUAL, Stage.SHADOW),
    (Stage.DUAL, Stage.LEGACY),
    (Stage.MODERN, Stage.DUAL),
    (Stage.MODERN, Stage.SHADOW),
    (Stage.MODERN, Stage.LEGACY),
}


@pytest.mark.parametrize(("current", "following"), list(itertools.product(BUILT, Stage)))
def test_every_pair_of_stages(current: Stage, following: Stage) -> None:
    if (current, following) in LEGAL:
        check_step("orders", current, following)
    else:
        with pytest.raises(StepForbidden, match="cannot change group 'orders' from"):
            check_step("orders", current, following)


def test_the_refusal_says_what_would_be_allowed() -> None:
    with pytest.raises(StepForbidden, match="next step is shadow or dual"):
        check_step("orders", Stage.LEGACY, Stage.MODERN)
    with pytest.raises(StepForbidden, match=r"next step is dual$"):
        check_step("orders", Stage.SHADOW, Stage.MODERN)
    with pytest.raises(StepForbidden, match="'canary' is not built yet"):
        check_step("orders", Stage.DUAL, Stage.CANARY)
    with pytest.raises(StepForbidden, match="already there"):
        check_step("orders", Stage.DUAL, Stage.DUAL)


def test_every_stage_stands_in_the_table_and_back_goes_anywhere_earlier() -> None:
    assert set(STEPS) == set(Stage)
    for current, following in itertools.product(BUILT, BUILT):
        if is_back(current, following):
            check_step("orders", current, following)
