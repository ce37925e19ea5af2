"""Which stage may follow which.

Forward goes one step at a time, so that each promise is proven before the next one rests on it: at
`shadow` modern answers copies of reads and nobody sees it, at `dual` it receives the writes that
legacy answered, at `modern` the roles are exchanged. `shadow` may be left out: a group without
reads that can be compared has nothing to prove there. Backward goes to
any earlier stage in one action and asks nobody: it must work when the new system is dead. What was
written meanwhile is in the write journal and follows in the order of its key.

The other stages of the plan have their names and places; a switch to them is refused until the
gateway knows what to do at them.
"""

from collections.abc import Mapping
from typing import Final

from bridge.model.errors import StepForbidden
from bridge.model.stage import Stage

BUILT: Final = (Stage.LEGACY, Stage.SHADOW, Stage.DUAL, Stage.MODERN)
"""Stages that a group can stand at, in forward order."""

STEPS: Final[Mapping[Stage, frozenset[Stage]]] = {
    Stage.LEGACY: frozenset({Stage.SHADOW, Stage.DUAL}),
    Stage.SHADOW: frozenset({Stage.DUAL, Stage.LEGACY}),
    Stage.DUAL: frozenset({Stage.MODERN, Stage.SHADOW, Stage.LEGACY}),
    Stage.MODERN: frozenset({Stage.DUAL, Stage.SHADOW, Stage.LEGACY}),
    Stage.CANARY: frozenset(),
    Stage.HANDOVER: frozenset(),
    Stage.COMPLETE: frozenset(),
}


def check_step(group: str, current: Stage, following: Stage) -> None:
    """Raise `StepForbidden` unless `following` may come after `current`."""
    refused = f"cannot change group {group!r} from {current.value} to {following.value}: "
    if following not in BUILT:
        raise StepForbidden(f"{refused}stage {following.value!r} is not built yet")
    if following is current:
        raise StepForbidden(f"{refused}it is already there")
    if following not in STEPS[current]:
        raise StepForbidden(f"{refused}next step is {_steps_forward(current)}")


def is_back(current: Stage, following: Stage) -> bool:
    """Return whether going from `current` to `following` is a roll back."""
    return BUILT.index(following) < BUILT.index(current)


def _steps_forward(current: Stage) -> str:
    steps = [stage.value for stage in BUILT if stage in STEPS[current]]
    return " or ".join(step for step in steps if not is_back(current, Stage(step))) or "none"
