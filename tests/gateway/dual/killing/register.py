"""Whether a history of one register can be put into one order that everybody saw.

Gibbons and Korach, "Testing Shared Memories" (SIAM J. Computing 26, 1997): with values that are
written once, a register's history is linearizable if and only if no read ends before its write
begins, no two forward zones overlap, and no backward zone lies within a forward one. A zone is a
write and its reads: from the first end to the last beginning, forward when these come in this
order. `brute_force` is Wing and Gong's search, the plain meaning, for small histories.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

INITIALLY = float("-inf")
NEVER = float("inf")


class Step(NamedTuple):
    """A read or a write of one register; `returned` is NEVER for one without an answer."""

    writes: bool
    value: str
    invoked: float
    returned: float


def faults(steps: Sequence[Step], initial: str) -> list[str]:
    """Return why the history is not linearizable; nothing when it is."""
    writes = {step.value: step for step in steps if step.writes}
    writes.setdefault(initial, Step(True, initial, INITIALLY, INITIALLY))
    reads: dict[str, list[Step]] = {}
    found = []
    for step in steps:
        if step.writes or step.returned == NEVER:
            continue  # A read without an answer saw nothing.
        if step.value not in writes:
            found.append(f"read {step.value!r}, which nobody wrote")
        elif step.returned < writes[step.value].invoked:
            found.append(f"read {step.value!r} before it was written")
        reads.setdefault(step.value, []).append(step)
    forward: list[tuple[float, float, str]] = []
    backward: list[tuple[float, float, str]] = []
    for value, write in writes.items():
        seen = reads.get(value, [])
        if write.returned == NEVER and not seen:
            continue  # It may not have happened at all.
        first_end = min(step.returned for step in (write, *seen))
        last_begin = max(step.invoked for step in (write, *seen))
        if first_end < last_begin:
            forward.append((first_end, last_begin, value))
        else:
            backward.append((last_begin, first_end, value))
    forward.sort()
    for (_, end, one), (begin, _, other) in pairwise(forward):
        if begin < end:
            found.append(f"{one!r} and {other!r} were each read after the other was current")
    for begin, end, inner in backward:
        for outer_begin, outer_end, outer in forward:
            if outer_begin < begin and end < outer_end:
                found.append(
                    f"{inner!r} came and went while {outer!r} was current before and after"
                )
    return found


def brute_force(steps: Sequence[Step], initial: str) -> bool:
    """Return whether some order of all steps that respects time explains every read."""
    seen: set[tuple[frozenset[int], str]] = set()

    def search(left: frozenset[int], value: str) -> bool:
        answered = [number for number in left if steps[number].returned != NEVER]
        if not answered:
            return True
        if (left, value) in seen:
            return False
        seen.add((left, value))
        limit = min(steps[number].returned for number in left)
        for number in left:
            step = steps[number]
            if step.invoked > limit:
                continue
            if not (step.writes or step.returned == NEVER or step.value == value):
                continue
            if search(left - {number}, step.value if step.writes else value):
                return True
        return False

    return search(frozenset(range(len(steps))), initial)
