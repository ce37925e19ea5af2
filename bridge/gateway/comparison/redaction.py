"""A pair of answers without what it says: types, lengths and keyed digests in place of values.

Equal values have equal digests, so that a redacted pair can still be compared, by rules about
structure too. The key stays on this machine: without it, a digest of a small number cannot be found
out by trying all of them.
"""

import re
from hashlib import blake2b
from typing import Final, TypeAlias

from bridge.gateway.comparison.canonical import canonical
from bridge.gateway.comparison.places import PlaceTree, State, names_one_thing
from bridge.gateway.routes.sections.comparison import ComparisonRules

ShowState: TypeAlias = State[bool]

_DIGEST_BYTES: Final = 8
# As deep as is compared.
_DEPTH_MAX: Final = 64
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,6}")


class Redactor:
    """Redacts one route's answers."""

    def __init__(self, rules: ComparisonRules, key: bytes) -> None:
        """`key` is a secret of up to 64 bytes."""
        self._key = key
        self._shown = PlaceTree([(place, True) for place in rules.show if place[0] == "/"])
        self._fields = frozenset(place for place in rules.show if place[0] != "/")

    def document(self, value: object) -> object:
        """Return a parsed body with every value redacted that is not declared to be shown."""
        return self._value(value, self._shown.root, 0)

    def at(self, place: str, value: object) -> object:
        """Return the value at `place` of a difference, redacted unless declared to be shown."""
        if place == "status" or place in self._fields:
            return value
        state = self._shown.root
        if place[0] == "/" and place != "/":
            for token in place[1:].split("/"):
                state = state.step(token.replace("~1", "/").replace("~0", "~"))
        return self._value(value, state, 0)

    def place(self, place: str) -> str:
        """Return a place without members whose names are values themselves."""
        if place[0] != "/":
            return place
        return "/".join(
            token if _INDEX.fullmatch(token) else self._name(token) for token in place.split("/")
        )

    def _value(self, value: object, state: ShowState, depth: int) -> object:
        if state.rules and not isinstance(value, bytes):
            return value
        if isinstance(value, dict) and depth < _DEPTH_MAX:
            return {
                self._name(name): self._value(member, state.step(name), depth + 1)
                for name, member in value.items()
            }
        if isinstance(value, list) and depth < _DEPTH_MAX:
            below = state.step("*")
            return [self._value(item, below, depth + 1) for item in value]
        return self._token(value)

    def _name(self, name: str) -> str:
        return f"({self._digest(name.encode())})" if names_one_thing(name) else name

    def _token(self, value: object) -> object:
        if value is None:
            return None
        if isinstance(value, str):
            raw = value.encode("utf-8", "surrogatepass")
            return f"text:{len(value)}:{self._digest(raw)}"
        if isinstance(value, bytes):
            return f"bytes:{len(value)}:{self._digest(value)}"
        if isinstance(value, bool):
            return f"boolean:{self._digest(canonical(value))}"
        if isinstance(value, dict | list):
            return f"too-deep:{len(value)}"
        raw = str(value).encode()
        return f"number:{len(raw)}:{self._digest(raw)}"

    def _digest(self, raw: bytes) -> str:
        return blake2b(raw, digest_size=_DIGEST_BYTES, key=self._key).hexdigest()
