"""The table of stages, walked pair by pair."""

import itertools

import pytest

from bridge.model.errors import StepForbidden
from bridge.model.stage import Place, Stage
from bridge.switching.stages import BUILT, STEPS, check_step, is_back

LEGAL = {
    (Stage.LEGACY, Stage.SHADOW),
    (Stage.LEGACY, Stage.DUAL),
    (Stage.SHADOW, Stage.DUAL),
    (Stage.SHADOW, Stage.LEGACY),
    (Stage.DUAL, Stage.CANARY),
    (Stage.DUAL, Stage.MODERN),
    (Stage.DUAL, Stage.SHADOW),
    (Stage.DUAL, Stage.LEGACY),
    (Stage.CANARY, Stage.CANARY),
    (Stage.CANARY, Stage.MODERN),
    (Stage.CANARY, Stage.DUAL),
    (Stage.CANARY, Stage.SHADOW),
    (Stage.CANARY, Stage.LEGACY),
    (Stage.MODERN, Stage.CANARY),
    (Stage.MODERN, Stage.DUAL),
    (Stage.MODERN, Stage.SHADOW),
    (Stage.MODERN, Stage.LEGACY),
}


def _place(stage: Stage, share_percent: float = 5.0) -> Place:
    return Place(stage, share_percent if stage is Stage.CANARY else 0.0)


@pytest.mark.parametrize(("current", "following"), list(itertools.product(BUILT, Stage)))
def test_every_pair_of_stages(current: Stage, following: Stage) -> None:
    if (current, following) in LEGAL:
        check_step("orders", _place(current), _place(following, 25.0))
    else:
        with pytest.raises(StepForbidden, match="cannot change group 'orders' from"):
            check_step("orders", _place(current), _place(following))


def test_the_refusal_says_what_would_be_allowed() -> None:
    legacy, dual = Place(Stage.LEGACY), Place(Stage.DUAL)
    with pytest.raises(StepForbidden, match="next step is shadow or dual"):
        check_step("orders", legacy, Place(Stage.MODERN))
    with pytest.raises(StepForbidden, match="next step is shadow or dual"):
        check_step("orders", legacy, Place(Stage.CANARY, 1.0))
    with pytest.raises(StepForbidden, match=r"next step is dual$"):
        check_step("orders", Place(Stage.SHADOW), Place(Stage.MODERN))
    with pytest.raises(StepForbidden, match="'handover' is not built yet"):
        check_step("orders", dual, Place(Stage.HANDOVER))
    with pytest.raises(StepForbidden, match="already there"):
        check_step("orders", dual, dual)
    with pytest.raises(StepForbidden, match="from canary 5 % to canary 5 %: it is already there"):
        check_step("orders", Place(Stage.CANARY, 5.0), Place(Stage.CANARY, 5.0))


@pytest.mark.parametrize("share", [0.0, -1.0, 100.5, 0.001, 33.333, float("nan")])
def test_a_canary_needs_a_share_that_buckets_can_make(share: float) -> None:
    with pytest.raises(StepForbidden, match=r"needs a share of the keys, 0\.01 to 100 per cent"):
        check_step("orders", Place(Stage.DUAL), Place(Stage.CANARY, share))


def test_a_share_belongs_to_canary_alone() -> None:
    with pytest.raises(StepForbidden, match="belongs to stage 'canary' alone"):
        check_step("orders", Place(Stage.CANARY, 5.0), Place(Stage.MODERN, 5.0))


def test_a_ramp_goes_up_by_steps_and_down_at_once() -> None:
    ramp = [Place(Stage.DUAL)] + [Place(Stage.CANARY, share) for share in (0.5, 1.0, 25.0, 100.0)]
    for before, after in itertools.pairwise([*ramp, Place(Stage.MODERN)]):
        check_step("orders", before, after)
        assert not is_back(before, after)
        assert is_back(after, before)
    check_step("orders", ramp[-1], ramp[1])
    assert str(ramp[1]) == "canary 0.5 %"


def test_every_stage_stands_in_the_table_and_back_goes_anywhere_earlier() -> None:
    assert set(STEPS) == set(Stage)
    for current, following in itertools.product(BUILT, BUILT):
        if is_back(_place(current), _place(following)):
            check_step("orders", _place(current), _place(following))
