"""What a contract asks of an event from which a person's fields were erased. Pure.

Only what is named as erased may be missing; whatever is there has to fit as ever.
"""

from collections.abc import Sequence
from typing import Any, Final

from bridge.contracts.schema import DataSchema

# A contract has few ways to lose its persons' fields; more means that somebody plays with us.
_KNOWN_MAX: Final = 1_000
_POINTERS_MAX: Final = 1_000


class LenientSchemas:
    """Schemas that ask for all but the erased fields, made when they are first needed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, tuple[str, ...]], DataSchema] = {}

    def of(
        self, subject: str, version: str, schema: DataSchema, erased: Sequence[str]
    ) -> DataSchema:
        """Return the schema of a contract without its demand for `erased` (JSON Pointers)."""
        key = (subject, version, tuple(sorted(erased[:_POINTERS_MAX])))
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            names = {pointer.rpartition("/")[2] for pointer in key[2]}
            found = self._known[key] = DataSchema(_without(schema.schema, names))
        return found


def _without(node: Any, names: set[str]) -> Any:
    """Return a copy of a schema in which no list of required members has one of `names`."""
    if isinstance(node, list):
        return [_without(below, names) for below in node]
    if not isinstance(node, dict):
        return node
    copy = {keyword: _without(below, names) for keyword, below in node.items()}
    required = copy.get("required")
    if isinstance(required, list):
        copy["required"] = [name for name in required if name not in names]
    return copy
