"""Two values side by side: every place where they differ, with the rules that hold there."""

from decimal import Decimal
from typing import Any, Final, TypeAlias

from bridge.gateway.comparison import lists
from bridge.gateway.comparison.canonical import equal_exactly
from bridge.gateway.comparison.difference import Difference, DifferenceKind, FindOtherId
from bridge.gateway.comparison.leaf_rules import accepts, as_number
from bridge.gateway.comparison.places import State, field_token, pointer_token
from bridge.gateway.comparison.work import TooMuchWork, Work
from bridge.gateway.routes.sections.comparison_rules import (
    AnyRule,
    EmptyRule,
    IdsRule,
    IgnoreRule,
    KeyedRule,
    RenameRule,
    UnorderedRule,
)

RuleState: TypeAlias = State[AnyRule]

# Documents of business are some ten levels deep. It bounds our recursion.
DEPTH_MAX: Final = 64
_CONTAINERS: Final = frozenset({dict, list})
_NUMBERS: Final = frozenset({int, float, Decimal})
_EMPTY: Final[tuple[object, ...]] = (None, "", [], {})
_ABSENT: Final = object()
# Members that are passed over because they are equal leaves.
_PLAIN_MEMBERS_PER_STEP: Final = 8


class Walk:
    """One comparison under way."""

    __slots__ = (
        "_apart",
        "_found_max",
        "_ids",
        "_number_texts",
        "fields",
        "found",
        "hidden",
        "more",
        "places",
        "work",
    )

    def __init__(
        self,
        *,
        ids: FindOtherId | None,
        numbers_as_text: bool,
        differences_count_max: int,
        work: Work,
    ) -> None:
        self.work = work
        """What all of it may cost; trials share it."""
        self._ids = ids
        self._apart = False
        """Whether the walk is inside a part without rules that is known to differ."""
        self._number_texts = numbers_as_text
        self._found_max = differences_count_max
        self.found: list[Difference] = []
        self.more = 0
        self.hidden: dict[str, int] = {}
        self.fields: list[str] = []
        self.places: list[str] = []

    # -- what is found --------------------------------------------------------------------------

    def differ(self, kind: DifferenceKind, authority: object = None, other: object = None) -> None:
        """Take down a difference at the place where the walk stands."""
        if len(self.found) >= self._found_max:
            self.more += 1
            return
        field = "/" + "/".join(self.fields)
        place = "/" + "/".join(self.places)
        self.found.append(Difference(field, kind, place, authority, other))

    def differ_at(self, place: str, kind: DifferenceKind, mine: object, theirs: object) -> None:
        """Take down a difference at a place outside the body, or of the body as a whole."""
        if len(self.found) >= self._found_max:
            self.more += 1
        else:
            self.found.append(Difference(place, kind, place, mine, theirs))

    def hide(self, rule: AnyRule) -> None:
        """Count a difference that `rule` hides."""
        self.hidden[rule.name] = self.hidden.get(rule.name, 0) + 1

    @property
    def count(self) -> int:
        """How many differences were found, also beyond those told apart."""
        return len(self.found) + self.more

    def fresh(self) -> "Walk":
        """Return a walk that stands here and has found nothing."""
        made = Walk(
            ids=self._ids,
            numbers_as_text=self._number_texts,
            differences_count_max=self._found_max,
            work=self.work,
        )
        made.fields = list(self.fields)
        made.places = list(self.places)
        return made

    def mark(self) -> lists.Mark:
        """Return what was found so far, for `rewind`."""
        return len(self.found), self.more, dict(self.hidden)

    def rewind(self, mark: lists.Mark) -> None:
        """Forget what was found since `mark`."""
        count, self.more, self.hidden = mark
        del self.found[count:]

    @property
    def ids(self) -> FindOtherId | None:
        """The id map."""
        return self._ids

    # -- the walk -------------------------------------------------------------------------------

    def values(self, authority: object, other: object, state: RuleState) -> None:
        """Compare two values at the place where the walk stands.

        Raises:
            TooMuchWork: the comparison has cost what it may.
        """
        self.work.left -= 1
        if self.work.left < 0:
            raise TooMuchWork
        kind = type(authority)
        same_kind = kind is type(other)
        if not state.rules:
            if same_kind and not state.below and not self._apart and kind in _CONTAINERS:
                self._without_rules(authority, other, state)
            elif same_kind:
                if kind is dict:
                    self._objects(authority, other, state)  # type: ignore[arg-type] # of one type
                elif kind is list:
                    self._lists(authority, other, state)  # type: ignore[arg-type] # of one type
                elif authority != other:
                    self.differ(DifferenceKind.VALUE, authority, other)
            elif not self._same_number(authority, other):
                self._differ_plainly(authority, other)
            return
        for rule in state.rules:
            if isinstance(rule, IgnoreRule):
                if not equal_exactly(authority, other):
                    self.hide(rule)
                return
        if same_kind and kind is dict:
            self._objects(authority, other, state)  # type: ignore[arg-type] # of one type
        elif same_kind and kind is list:
            self._lists(authority, other, state)  # type: ignore[arg-type] # of one type
        else:
            self._ruled_leaves(authority, other, state)

    def _without_rules(self, authority: object, other: object, state: RuleState) -> None:
        """Compare what no rule reaches into: most of it is equal, which C finds out fastest."""
        if equal_exactly(authority, other):
            return
        self._apart = True
        self.values(authority, other, state)
        self._apart = False

    def _ruled_leaves(self, authority: object, other: object, state: RuleState) -> None:
        ids = [rule for rule in state.rules if isinstance(rule, IdsRule)]
        if ids and authority is not None:
            # An id that is the same on both sides may be another entity's: the map decides. One
            # that the map does not have is taken for the same on both sides.
            if self._ids is not None and any(
                accepts(rule, authority, other, self._ids) or self._unmapped(rule, authority, other)
                for rule in ids
            ):
                return
            self.differ(DifferenceKind.ID, authority, other)
            return
        if type(authority) is type(other) and authority == other:
            return
        if self._same_number(authority, other):
            return
        for rule in state.rules:
            if accepts(rule, authority, other, self._ids):
                self.hide(rule)
                return
        self._differ_plainly(authority, other, state)

    def _unmapped(self, rule: IdsRule, authority: object, other: object) -> bool:
        find = self._ids
        return find is not None and find(rule.entity, str(authority)) is None and authority == other

    def _same_number(self, authority: object, other: object) -> bool:
        kinds = (type(authority), type(other))
        if kinds[0] in _NUMBERS and kinds[1] in _NUMBERS:
            return authority == other  # 12 and 12.0 are one JSON number (RFC 8259 §6).
        if self._number_texts and str in kinds and _NUMBERS.intersection(kinds):
            mine = as_number(authority)
            return mine is not None and mine == as_number(other)
        return False

    def _differ_plainly(
        self, authority: object, other: object, state: RuleState | None = None
    ) -> None:
        for rule in state.rules if state is not None else ():
            if isinstance(rule, EmptyRule) and _empty(authority) and _empty(other):
                self.hide(rule)
                return
        numbers = type(authority) in _NUMBERS and type(other) in _NUMBERS
        same = numbers or type(authority) is type(other)
        self.differ(DifferenceKind.VALUE if same else DifferenceKind.TYPE, authority, other)

    def _objects(
        self, authority: dict[str, object], other: dict[str, object], state: RuleState
    ) -> None:
        if len(self.fields) >= DEPTH_MAX:
            if not equal_exactly(authority, other):
                self.differ(DifferenceKind.DEPTH)
            return
        if not state.below:
            self._plain_objects(authority, other, state)
            return
        used = set()
        for name, mine in authority.items():
            below = state.step(name)
            there = name
            for rule in below.rules:
                if isinstance(rule, RenameRule):
                    there = rule.to
            used.add(there)
            self._member(name, mine, other.get(there, _ABSENT), below)
        for name, theirs in other.items():
            if name not in used:
                self._member(name, _ABSENT, theirs, state.step(name))

    def _plain_objects(
        self, authority: dict[str, object], other: dict[str, object], state: RuleState
    ) -> None:
        """As `_objects`, where no rule holds anywhere below: the usual case."""
        self.work.spend(len(authority) // _PLAIN_MEMBERS_PER_STEP)
        for name, mine in authority.items():
            theirs = other.get(name, _ABSENT)
            kind = type(mine)
            if kind is type(theirs) and kind is not dict and kind is not list and mine == theirs:
                continue
            self._member(name, mine, theirs, state.step(name))
        if len(other) != len(authority) or other.keys() != authority.keys():
            for name, theirs in other.items():
                if name not in authority:
                    self._member(name, _ABSENT, theirs, state.step(name))

    def _member(self, name: str, mine: object, theirs: object, state: RuleState) -> None:
        self.fields.append(field_token(name))
        self.places.append(pointer_token(name))
        if mine is _ABSENT or theirs is _ABSENT:
            self._one_sided(mine, theirs, state)
        else:
            self.values(mine, theirs, state)
        self.fields.pop()
        self.places.pop()

    def _one_sided(self, mine: object, theirs: object, state: RuleState) -> None:
        there = theirs if mine is _ABSENT else mine
        for rule in state.rules:
            if isinstance(rule, IgnoreRule) or (isinstance(rule, EmptyRule) and _empty(there)):
                self.hide(rule)
                return
        if mine is _ABSENT:
            self.differ(DifferenceKind.EXTRA, None, theirs)
        else:
            self.differ(DifferenceKind.MISSING, mine, None)

    def _lists(self, authority: list[Any], other: list[Any], state: RuleState) -> None:
        if len(self.fields) >= DEPTH_MAX:
            if not equal_exactly(authority, other):
                self.differ(DifferenceKind.DEPTH)
            return
        self.fields.append("*")
        for rule in state.rules:
            if isinstance(rule, KeyedRule):
                lists.by_key(self, rule, authority, other, state.step("*"))
                break
            if isinstance(rule, UnorderedRule):
                lists.as_set(self, rule, authority, other, state.step("*"))
                break
        else:
            lists.in_order(self, authority, other, state)
        self.fields.pop()

    def item(self, index: int, mine: object, theirs: object, state: RuleState) -> None:
        """Compare two items of the list where the walk stands."""
        self.places.append(str(index))
        self.values(mine, theirs, state)
        self.places.pop()

    def item_one_sided(self, kind: DifferenceKind, index: int, value: object) -> None:
        """Take down an item that one side alone has."""
        self.places.append(str(index))
        mine, theirs = (value, None) if kind is DifferenceKind.MISSING else (None, value)
        self.differ(kind, mine, theirs)
        self.places.pop()

    def list_differs(self, kind: DifferenceKind, mine: object, theirs: object) -> None:
        """Take down a difference of the list itself, from among its items."""
        self.fields.pop()
        self.differ(kind, mine, theirs)
        self.fields.append("*")


def _empty(value: object) -> bool:
    return any(type(value) is type(empty) and value == empty for empty in _EMPTY)
