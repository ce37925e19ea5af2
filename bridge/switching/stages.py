"""Which stage may follow which.

Forward goes one step at a time, so that each promise is proven before the next one rests on it: at
`shadow` modern answers copies of reads and nobody sees it, at `dual` it receives the writes that
legacy answered, at `canary` it answers the reads of a share of the keys, at `modern` the roles are
exchanged. `shadow` may be left out: a group without reads that can be compared has nothing to prove
there. So may `canary`: a group of few keys has no share that would say anything. A larger share is
a step forward and a smaller one a roll back, each a switch of its own. Backward goes to
any earlier stage in one action and asks nobody: it must work when the new system is dead. What was
written meanwhile is in the write journal and follows in the order of its key.

The other stages of the plan have their names and places; a switch to them is refused until the
gateway knows what to do at them.
"""

from collections.abc import Mapping
from typing import Final

from bridge.model.errors import StepForbidden
from bridge.model.stage import Place, Stage

BUILT: Final = (Stage.LEGACY, Stage.SHADOW, Stage.DUAL, Stage.CANARY, Stage.MODERN)
"""Stages that a group can stand at, in forward order."""

STEPS: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.LEGACY: frozenset({Stage.SHADOW, Stage.DUAL}),
    Stage.SHADOW: frozenset({Stage.DUAL, Stage.LEGACY}),
    Stage.DUAL: frozenset({Stage.CANARY, Stage.MODERN, Stage.SHADOW, Stage.LEGACY}),
    # To itself: another share.
    Stage.CANARY: frozenset({Stage.CANARY, Stage.MODERN, Stage.DUAL, Stage.SHADOW, Stage.LEGACY}),
    Stage.MODERN: frozenset({Stage.CANARY, Stage.DUAL, Stage.SHADOW, Stage.LEGACY}),
    Stage.HANDOVER: frozenset(),
    Stage.COMPLETE: frozenset(),
}

# A hundredth of one per cent is one bucket of keys (see `gateway.routes.cohort`).
_SHARES_PER_PERCENT: Final = 100


def check_step(group: str, current: Place, following: Place) -> None:
    """Raise `StepForbidden` unless `following` may come after `current`."""
    refused = f"cannot change group {group!r} from {current} to {following}: "
    stage, share = following
    if stage not in BUILT:
        raise StepForbidden(f"{refused}stage {stage.value!r} is not built yet")
    if stage is not Stage.CANARY and share:
        raise StepForbidden(f"{refused}a share of the keys belongs to stage 'canary' alone")
    if stage is Stage.CANARY and not _is_share(share):
        raise StepForbidden(
            f"{refused}'canary' needs a share of the keys, 0.01 to 100 per cent in steps of 0.01"
        )
    if following == current:
        raise StepForbidden(f"{refused}it is already there")
    if stage not in STEPS[current.stage]:
        raise StepForbidden(f"{refused}next step is {_steps_forward(current.stage)}")


def is_back(current: Place, following: Place) -> bool:
    """Return whether going from `current` to `following` is a roll back."""
    return _order(following) < _order(current)


def _order(place: Place) -> tuple[int, float]:
    return BUILT.index(place.stage), place.share_percent


def _is_share(share_percent: float) -> bool:
    buckets = share_percent * _SHARES_PER_PERCENT
    return 0 < share_percent <= 100 and abs(buckets - round(buckets)) < 1e-6


def _steps_forward(current: Stage) -> str:
    steps = [stage for stage in BUILT if stage in STEPS[current]]
    forward = [stage.value for stage in steps if BUILT.index(stage) > BUILT.index(current)]
    return " or ".join(forward) or "none"
