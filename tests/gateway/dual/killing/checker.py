"""Read everything that a run left, and name every promise that was broken.

Pure: the same evidence gives the same violations. `test_checker` plants each kind.
"""

from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from tests.gateway.dual.killing.history import Evidence, Execution, Kind, Operation, Told
from tests.gateway.dual.killing.register import NEVER, Step, faults

_NOT_DONE = ("rejected", "failed")


class Broken(Enum):
    """A promise."""

    LOST = "an acknowledged write is not on both sides"
    ORDER = "the two sides did the writes of a key in different order"
    UNSEEN = "a write that one side did is not known to the journal as such"
    UNLISTED = "a write whose outcome was not known was not listed as in doubt"
    TWICE = "a write was carried out twice"
    REFUSED = "a write was carried out although its client was told that nothing was done"
    HISTORY = "what clients read and wrote fits no order"
    UNFINISHED = "the journal still holds a write that is not settled"


class Violation(NamedTuple):
    """One broken promise."""

    broken: Broken
    detail: str


def check(evidence: Evidence) -> list[Violation]:
    """Return every violation in a run that has come to rest."""
    return [
        *_lost(evidence),
        *_order(evidence),
        *_unseen(evidence),
        *_unlisted(evidence),
        *_twice(evidence),
        *_refused(evidence),
        *_history(evidence),
        *_unfinished(evidence),
    ]


def _writes(operations: Iterable[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.kind is not Kind.READ]


def _lost(evidence: Evidence) -> list[Violation]:
    sides = {
        "legacy": {execution.value for execution in evidence.legacy},
        "modern": {execution.value for execution in evidence.modern},
    }
    return [
        Violation(Broken.LOST, f"{operation.value} is not on {side}")
        for operation in _writes(evidence.operations)
        if operation.told is Told.DONE
        for side, values in sides.items()
        if operation.value not in values
    ]


def _by_key(executions: Iterable[Execution]) -> dict[str, list[str]]:
    """Return each key's values in the order of their first execution."""
    found: dict[str, list[str]] = {}
    for execution in executions:
        values = found.setdefault(execution.key, [])
        if execution.value not in values:
            values.append(execution.value)
    return found


def _order(evidence: Evidence) -> list[Violation]:
    legacy, modern = _by_key(evidence.legacy), _by_key(evidence.modern)
    found = []
    for key, values in legacy.items():
        other = evidence.pairs.get(key)
        if other is None:
            found.append(Violation(Broken.UNSEEN, f"order {key} has no pair"))
            continue
        theirs = modern.get(other, [])
        if values != theirs:
            at = next(
                (n for n, (a, b) in enumerate(zip(values, theirs, strict=False)) if a != b),
                min(len(values), len(theirs)),
            )
            detail = f"order {key}: at {at} {values[at : at + 3]} against {theirs[at : at + 3]}"
            found.append(Violation(Broken.ORDER, detail))
    known = set(evidence.pairs.values())
    found += [
        Violation(Broken.UNSEEN, f"order {key} of modern has no pair")
        for key in modern
        if key not in known
    ]
    for name, executions in (("legacy", evidence.legacy), ("modern", evidence.modern)):
        found += _returned_to_old(name, executions)
    return found


def _returned_to_old(side: str, executions: Iterable[Execution]) -> list[Violation]:
    """A repeat of a write after a later one of its key would bring the old value back."""
    last: dict[str, str] = {}
    done: dict[str, set[str]] = {}
    found = []
    for execution in executions:
        before = done.setdefault(execution.key, set())
        if execution.value in before and last[execution.key] != execution.value:
            found.append(Violation(Broken.ORDER, f"{execution.value} came again on {side}, late"))
        before.add(execution.value)
        last[execution.key] = execution.value
    return found


def _unseen(evidence: Evidence) -> list[Violation]:
    done = {record.value for record in evidence.journal if record.state not in _NOT_DONE}
    return [
        Violation(Broken.UNSEEN, f"{execution.value} is on {side}")
        for side, executions in (("legacy", evidence.legacy), ("modern", evidence.modern))
        for execution in executions
        if execution.value not in done
    ]


def _unlisted(evidence: Evidence) -> list[Violation]:
    # A worker that only could not record its outcome for a while does so later: that is no doubt.
    followed = evidence.listed | {record.intent_id for record in evidence.journal}
    return [
        Violation(Broken.UNLISTED, f"{operation.value}, write {operation.intent_id}")
        for operation in _writes(evidence.operations)
        if operation.told is Told.DOUBT and operation.intent_id not in followed
    ]


def _twice(evidence: Evidence) -> list[Violation]:
    if not evidence.honours_keys:
        return []
    return [
        Violation(Broken.TWICE, f"{value} {count} times on {side}")
        for side, executions in (("legacy", evidence.legacy), ("modern", evidence.modern))
        for value, count in Counter(
            execution.value for execution in executions if execution.idempotency_key is not None
        ).items()
        if count > 1
    ]


def _refused(evidence: Evidence) -> list[Violation]:
    done = {execution.value for execution in (*evidence.legacy, *evidence.modern)}
    return [
        Violation(Broken.REFUSED, str(operation.value))
        for operation in _writes(evidence.operations)
        if operation.told is Told.REFUSED and operation.value in done
    ]


def _history(evidence: Evidence) -> list[Violation]:
    keys = {
        execution.value: execution.key for execution in evidence.legacy
    }  # Of creates whose answer was lost, the authority's log says which order they made.
    steps: dict[str, list[Step]] = {}
    for operation in evidence.operations:
        if operation.kind is Kind.READ:
            if operation.told is Told.DONE and operation.key and operation.value:
                step = Step(False, operation.value, operation.invoked, operation.returned)
                steps.setdefault(operation.key, []).append(step)
            continue
        key = operation.key or keys.get(operation.value or "")
        if key is None or operation.value is None or operation.told is Told.REFUSED:
            continue
        returned = operation.returned if operation.told is Told.DONE else NEVER
        step = Step(True, operation.value, operation.invoked, returned)
        steps.setdefault(key, []).append(step)
    return [
        Violation(Broken.HISTORY, f"order {key}: {fault}")
        for key, history in steps.items()
        for fault in faults(history, evidence.initial.get(key, "(nothing)"))
    ]


def _unfinished(evidence: Evidence) -> list[Violation]:
    return [
        Violation(Broken.UNFINISHED, f"{record.value} is {record.state}")
        for record in evidence.journal
        if record.state not in ("done", "rejected", "failed")
    ]
