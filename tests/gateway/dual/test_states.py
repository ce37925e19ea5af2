"""The table of a write's states, walked pair by pair."""

import itertools

import pytest

from bridge.gateway.dual.states import FINAL, HOLDS_LANE, may_follow, outcome_of
from bridge.model.write import WriteState

S = WriteState
LEGAL = {
    (S.INTENT, S.APPLIED),
    (S.INTENT, S.REJECTED),
    (S.INTENT, S.FAILED),
    (S.INTENT, S.IN_DOUBT),
    (S.IN_DOUBT, S.IN_DOUBT),
    (S.IN_DOUBT, S.APPLIED),
    (S.IN_DOUBT, S.REJECTED),
    (S.IN_DOUBT, S.FAILED),
    (S.APPLIED, S.APPLIED),
    (S.APPLIED, S.DONE),
    (S.APPLIED, S.PARKED),
    (S.APPLIED, S.SKIPPED),
    (S.PARKED, S.APPLIED),
    (S.PARKED, S.SKIPPED),
    (S.APPLIED, S.COMPENSATED),
    (S.PARKED, S.COMPENSATED),
}


@pytest.mark.parametrize(("current", "following"), list(itertools.product(S, S)))
def test_every_pair_of_states(current: WriteState, following: WriteState) -> None:
    assert may_follow(current, following) is ((current, following) in LEGAL)


def test_final_states_hold_no_lane() -> None:
    assert {S.REJECTED, S.FAILED, S.DONE, S.SKIPPED, S.COMPENSATED} == FINAL
    assert {S.INTENT, S.IN_DOUBT} == HOLDS_LANE


@pytest.mark.parametrize(
    ("status", "state", "key_stays_free"),
    [
        (200, S.APPLIED, False),
        (204, S.APPLIED, False),
        (303, S.APPLIED, False),
        (400, S.REJECTED, False),
        (409, S.REJECTED, False),
        (408, S.REJECTED, True),
        (425, S.REJECTED, True),
        (429, S.REJECTED, True),
        (500, S.REJECTED, False),
        (502, S.IN_DOUBT, False),
        (503, S.REJECTED, False),
        (504, S.IN_DOUBT, False),
    ],
)
def test_what_an_answer_of_the_authority_means(
    status: int, state: WriteState, key_stays_free: bool
) -> None:
    assert outcome_of(status) == (state, key_stays_free)


def test_a_route_may_distrust_server_errors() -> None:
    assert outcome_of(500, server_error_in_doubt=True) == (S.IN_DOUBT, False)
    assert outcome_of(404, server_error_in_doubt=True) == (S.REJECTED, False)
