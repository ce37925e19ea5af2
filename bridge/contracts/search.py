"""Fields by which events are searched in the event log: the `search` of a mapping. Pure.

search: {ordered_at: date, total: amount, customer_id: counterparty, client_ref: reference}
"""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from bridge.model.search_role import FIELDS_MAX, Role

if TYPE_CHECKING:
    from bridge.contracts.mapping import FieldRule

_ROLES: Final = tuple(role.value for role in Role)
_TYPES: Final[Mapping[Role, tuple[str, ...]]] = {
    Role.DATE: ("date", "timestamp", "timestamptz"),
    Role.AMOUNT: ("decimal", "integer", "float"),
    Role.COUNTERPARTY: ("string", "integer", "uuid"),
    Role.REFERENCE: ("string", "integer", "uuid"),
}


def search_problems(
    tree: Any, rules: Collection["FieldRule"], sealed: Collection[str]
) -> Iterator[str]:
    """Yield what is wrong with `search`; `sealed` are the fields that belong to persons."""
    if not isinstance(tree, dict):
        yield "'search' must be a mapping of field names to roles"
        return
    if len(tree) > FIELDS_MAX:
        yield f"'search' declares {len(tree)} fields; at most {FIELDS_MAX} are indexed"
    known = {rule.name: rule for rule in rules}
    for name, role in tree.items():
        where = f"search by {str(name)!r}"
        if name not in known:
            yield f"{where}: it is not among the fields"
        elif role not in _ROLES:
            yield f"{where}: the role must be one of {', '.join(_ROLES)}"
        else:
            yield from (f"{where}: {text}" for text in _problems(known[name], Role(role), sealed))


def _problems(rule: "FieldRule", role: Role, sealed: Collection[str]) -> Iterator[str]:
    if rule.name in sealed:
        yield (
            "it belongs to a person and is sealed: an index would keep what an erasure has to make "
            "unreadable; search by a field that stays, such as the person's number"
        )
    if rule.protect is not None:
        yield (
            f"it is made unreadable ({rule.protect.kind}) before it is logged, so nobody could "
            "search for what it was"
        )
    if rule.type not in _TYPES[role]:
        types = ", ".join(_TYPES[role])
        yield f"a field of type {rule.type!r} is no {role.value}; that is one of {types}"


def parse_search(tree: Any) -> Mapping[str, Role]:
    """Return what `search` says; it has no `search_problems`."""
    return {name: Role(role) for name, role in (tree or {}).items()}
