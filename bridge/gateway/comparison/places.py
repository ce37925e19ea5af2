"""Places in an answer: compiled from rules into states that are stepped through while comparing.

A state is where a walk stands in all patterns at once. It is made when it is first reached and kept
(bounded), so that a step costs one look into a dict; most of a document lies where no pattern goes
on, which is the state `NOWHERE`.
"""

import re
from collections.abc import Iterable
from typing import Final, Generic, TypeVar

R = TypeVar("R")

# Members named after ids make states without number; beyond this they are made anew each time.
_STATES_KEPT_MAX: Final = 2_000

# A member whose name is a number, a UUID, a date or a long hexadecimal text names one thing, not a
# field: counted apart, each would be a field of its own.
_ID_LIKE: Final = re.compile(
    r"[0-9][0-9._:-]*|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    r"|(?=[a-fA-F]*[0-9])[0-9a-fA-F]{12,}"
)
# A name above it is cut in counts: names come from the answers.
_NAME_CHARACTERS_MAX: Final = 80


def names_one_thing(name: str) -> bool:
    """Return whether a member is named after an id rather than after what it means."""
    return _ID_LIKE.fullmatch(name) is not None


def field_token(name: str) -> str:
    """Return how a member's name is counted."""
    if _ID_LIKE.fullmatch(name):
        return "*"
    return name[:_NAME_CHARACTERS_MAX].replace("~", "~0").replace("/", "~1")


def pointer_token(name: str) -> str:
    """Return a member's name as RFC 6901 writes it."""
    return name.replace("~", "~0").replace("/", "~1")


class State(Generic[R]):
    """Where a walk stands: the rules that hold here, and the way on."""

    __slots__ = ("_next", "_positions", "_tree", "below", "rules")

    def __init__(self, tree: "PlaceTree[R]", positions: frozenset[tuple[int, int]]) -> None:
        self._tree = tree
        self._positions = positions
        self._next: dict[str, State[R]] = {}
        patterns = tree.patterns
        # In the order of the file: the first that fits is the one that is counted.
        here = sorted(
            index
            for index, at in positions
            if all(part == "**" for part in patterns[index][0][at:])
        )
        self.rules: tuple[R, ...] = tuple(patterns[index][1] for index in dict.fromkeys(here))
        self.below = any(at < len(patterns[index][0]) for index, at in positions)
        """Whether a pattern goes on below."""

    def step(self, token: str) -> "State[R]":
        """Return the state of the member or item `token`."""
        found = self._next.get(token)
        if found is None:
            found = self._tree.stepped(self._positions, token)
            if len(self._next) < _STATES_KEPT_MAX:
                self._next[token] = found
        return found


class PlaceTree(Generic[R]):
    """Patterns of places, each with what holds there."""

    def __init__(self, patterns: Iterable[tuple[str, R]]) -> None:
        """`patterns` are body paths (`/items/*/price`) with what holds there."""
        self.patterns = tuple((_tokens(path), held) for path, held in patterns)
        self._states: dict[frozenset[tuple[int, int]], State[R]] = {}
        self.root = self._state(frozenset((index, 0) for index in range(len(self.patterns))))

    def stepped(self, positions: frozenset[tuple[int, int]], token: str) -> State[R]:
        """Return the state after `token`."""
        reached = set()
        for index, start in positions:
            tokens = self.patterns[index][0]
            at = start
            # `**` stands for any number of steps, also none.
            while at < len(tokens) and tokens[at] == "**":
                reached.add((index, at))
                at += 1
            if at < len(tokens) and tokens[at] in ("*", token):
                reached.add((index, at + 1))
        return self._state(frozenset(reached))

    def _state(self, positions: frozenset[tuple[int, int]]) -> State[R]:
        found = self._states.get(positions)
        if found is None:
            found = State(self, positions)
            if len(self._states) < _STATES_KEPT_MAX:
                self._states[positions] = found
        return found


def _tokens(path: str) -> tuple[str, ...]:
    if path == "/":
        return ()  # The whole body; a member with an empty name cannot be named.
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/"))
