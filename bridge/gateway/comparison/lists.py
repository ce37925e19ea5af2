"""Two lists side by side: in order, as a set, or item by item with the same key."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final, Protocol, Self, TypeAlias

import orjson

from bridge.gateway.comparison.canonical import canonical
from bridge.gateway.comparison.difference import DifferenceKind, FindOtherId
from bridge.gateway.comparison.leaf_rules import normalised
from bridge.gateway.comparison.places import State
from bridge.gateway.comparison.work import Work
from bridge.gateway.routes.sections.comparison_rules import (
    AnyRule,
    IgnoreRule,
    KeyedRule,
    UnorderedRule,
)

RuleState: TypeAlias = State[AnyRule]
Mark: TypeAlias = tuple[int, int, dict[str, int]]

# Items of a set without an equal partner are compared with one another to find the nearest: the
# square of this many.
_NEAREST_AMONG_MAX: Final = 24
# Beyond it two lists have little in common, and each item is told by itself.
_ALONE_MAX: Final = 64
# Below it a list is looked at whole for a mere change of order.
_ORDER_ITEMS_MAX: Final = 10_000


class Walking(Protocol):
    """The walk, as a list needs it."""

    work: Work
    """What the whole walk may cost."""

    @property
    def ids(self) -> FindOtherId | None:
        """The id map."""
        ...

    @property
    def count(self) -> int:
        """How many differences were found."""
        ...

    def hide(self, rule: AnyRule) -> None:
        """Count a difference that `rule` hides."""

    def item(self, index: int, mine: object, theirs: object, state: RuleState) -> None:
        """Compare two items."""

    def item_one_sided(self, kind: DifferenceKind, index: int, value: object) -> None:
        """Take down an item that one side alone has."""

    def list_differs(self, kind: DifferenceKind, mine: object, theirs: object) -> None:
        """Take down a difference of the list itself."""

    def mark(self) -> Mark:
        """Return what was found so far, for `rewind`."""
        ...

    def rewind(self, mark: Mark) -> None:
        """Forget what was found since `mark`."""

    def fresh(self) -> Self:
        """Return a walk that stands here and has found nothing."""


def in_order(
    walk: Walking, authority: Sequence[Any], other: Sequence[Any], state: RuleState
) -> None:
    """Compare item by item, in the order in which they stand; `state` is the list's."""
    below = state.step("*")
    if len(authority) == len(other):
        before, mark = walk.count, walk.mark()
        for index, mine in enumerate(authority):
            walk.item(index, mine, other[index], state.step(str(index)) if state.below else below)
        if walk.count > before and 1 < len(authority) <= _ORDER_ITEMS_MAX:
            keys = _keys(walk, authority, below, walk.ids), _keys(walk, other, below, None)
            if sorted(keys[0]) == sorted(keys[1]):
                walk.rewind(mark)
                walk.list_differs(DifferenceKind.ORDER, None, None)
        return
    walk.list_differs(DifferenceKind.LENGTH, len(authority), len(other))
    # What is inserted shifts the rest: only what lies between equal ends is looked at.
    keys = _keys(walk, authority, below, walk.ids), _keys(walk, other, below, None)
    shorter = min(len(authority), len(other))
    first = 0
    while first < shorter and keys[0][first] == keys[1][first]:
        first += 1
    last = 0
    while last < shorter - first and keys[0][-1 - last] == keys[1][-1 - last]:
        last += 1
    for index in range(first, shorter - last):
        walk.item(index, authority[index], other[index], below)


def as_set(
    walk: Walking, rule: AnyRule, authority: Sequence[Any], other: Sequence[Any], state: RuleState
) -> None:
    """Compare items whose order has no meaning; equal ones count as often as they stand there."""
    keys = _keys(walk, authority, state, walk.ids), _keys(walk, other, state, None)
    if keys[0] != keys[1]:
        walk.hide(rule)
    waiting: dict[bytes, list[int]] = defaultdict(list)
    for index, key in enumerate(keys[1]):
        waiting[key].append(index)
    alone: list[int] = []
    for index, key in enumerate(keys[0]):
        found = waiting.get(key)
        if found:
            # Equal but for what rules let pass: walked for their counts alone.
            partner = found.pop()
            if authority[index] != other[partner]:
                walk.item(index, authority[index], other[partner], state)
        else:
            alone.append(index)
    rest = sorted(index for found in waiting.values() for index in found)
    # With many alone the lists differ throughout: whose partner is whose says nothing any more.
    near = len(alone) <= _ALONE_MAX and len(rest) <= _ALONE_MAX
    for index in alone:
        partner_at = _nearest(walk, authority[index], other, rest, index, state) if near else None
        if partner_at is None:
            walk.item_one_sided(DifferenceKind.MISSING, index, authority[index])
        else:
            walk.item(index, authority[index], other[rest.pop(partner_at)], state)
    for index in rest:
        walk.item_one_sided(DifferenceKind.EXTRA, index, other[index])


def by_key(
    walk: Walking, rule: KeyedRule, authority: Sequence[Any], other: Sequence[Any], state: RuleState
) -> None:
    """Compare items with the same key, wherever they stand."""
    mine = [_key(walk, rule, item, state, walk.ids) for item in authority]
    theirs = [_key(walk, rule, item, state, None) for item in other]
    places = {key: index for index, key in enumerate(theirs)}
    if None in mine or None in theirs or len(set(mine)) < len(mine) or len(places) < len(theirs):
        # Without keys of their own the items cannot be told apart.
        walk.list_differs(DifferenceKind.KEY, len(authority), len(other))
        return
    if mine != theirs and sorted(map(str, mine)) == sorted(map(str, theirs)):
        walk.hide(rule)
    for index, key in enumerate(mine):
        partner = places.pop(key, None)
        if partner is None:
            walk.item_one_sided(DifferenceKind.MISSING, index, authority[index])
        else:
            walk.item(index, authority[index], other[partner], state)
    for index in places.values():
        walk.item_one_sided(DifferenceKind.EXTRA, index, other[index])


def _key(
    walk: Walking, rule: KeyedRule, item: object, state: RuleState, ids: FindOtherId | None
) -> bytes | None:
    if not isinstance(item, dict):
        return None
    values = []
    for name in rule.by:
        if name not in item:
            return None
        values.append(normal_form(item[name], state.step(name), ids, walk.work))
    return _charged(walk, _spelled(values))


def _nearest(
    walk: Walking,
    item: object,
    other: Sequence[Any],
    rest: Sequence[int],
    index: int,
    state: RuleState,
) -> int | None:
    """Return the place in `rest` of the item that differs least; None when all do altogether."""
    if not rest:
        return None
    best, best_count = None, None
    for at, candidate in enumerate(rest[:_NEAREST_AMONG_MAX]):
        trial = walk.fresh()
        trial.item(index, item, other[candidate], state)
        if best_count is None or trial.count < best_count:
            best, best_count = at, trial.count
            if not best_count:
                break
    return best


def _keys(
    walk: Walking, items: Sequence[Any], state: RuleState, ids: FindOtherId | None
) -> list[bytes]:
    if not state.below and not state.rules:
        return [_charged(walk, _spelled(item)) for item in items]
    return [_charged(walk, _spelled(normal_form(item, state, ids, walk.work))) for item in items]


def _charged(walk: Walking, spelled: bytes) -> bytes:
    walk.work.spend(1, len(spelled))
    return spelled


def _spelled(value: object) -> bytes:
    try:
        return canonical(value)
    except (RecursionError, orjson.JSONEncodeError):
        return b"?"  # Too deep to be told apart here: the walk looks at them.


def normal_form(
    value: object, state: RuleState, ids: FindOtherId | None, work: Work | None = None
) -> object:
    """Return `value` without what rules let pass, as far as a single value can say it."""
    if work is not None:
        work.spend(1)
    if not state.below and not state.rules:
        return value
    if isinstance(value, dict):
        return {
            name: normal_form(member, below, ids, work)
            for name, member in value.items()
            if not _ignored(below := state.step(name))
        }
    if isinstance(value, list):
        below = state.step("*")
        items = [normal_form(item, below, ids, work) for item in value]
        loose = any(isinstance(rule, KeyedRule | UnorderedRule) for rule in state.rules)
        return sorted(items, key=_spelled) if loose else items
    for rule in state.rules:
        value = normalised(rule, value, ids)
    return value


def _ignored(state: RuleState) -> bool:
    return any(isinstance(rule, IgnoreRule) for rule in state.rules)
