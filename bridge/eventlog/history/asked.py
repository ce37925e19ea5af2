"""From words that a person typed, at the shell or in a URL, to the parts of a query."""

from collections.abc import Collection, Sequence

from bridge.eventlog.history.business_values import FieldCondition, between, parse_condition
from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.query import EntityKey
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.search_role import Role


def kinds_named(names: Sequence[str]) -> frozenset[EntryKind]:
    """Return the kinds of entries called so; raises `ConfigInvalid` naming the known ones."""
    known = {kind.value: kind for kind in EntryKind}
    for name in names:
        if name not in known:
            raise ConfigInvalid(
                f"no kind of entry is called {name!r}; known: {', '.join(sorted(known))}"
            )
    return frozenset(known[name] for name in names)


def conditions(
    where: Sequence[str], *, date: str | None, amount: str | None, counterparty: str | None
) -> tuple[FieldCondition, ...]:
    """Return conditions on business fields, by name and by role."""
    found = [parse_condition(text) for text in where]
    for role, text in ((Role.DATE, date), (Role.AMOUNT, amount)):
        if text is not None:
            found.append(between(role.value, text))
    if counterparty is not None:
        # As it is: a name may have dots in it.
        name = FieldCondition(field=Role.COUNTERPARTY.value, low=counterparty, high=counterparty)
        found.append(name)
    return tuple(found)


def entity_asked(desk: SearchDesk, subjects: Collection[str], key: str | None) -> EntityKey | None:
    """Return the entity that a search names; raises `ConfigInvalid` without its one subject."""
    if key is None:
        return None
    if len(subjects) != 1:
        raise ConfigInvalid("cannot search by a key: name the one subject whose key it is")
    (subject,) = subjects
    return desk.entity(subject, key)


def is_newest_first(order: str) -> bool:
    """Return whether `order` is `newest`; raises `ConfigInvalid` unless it is that or `oldest`."""
    if order not in ("newest", "oldest"):
        raise ConfigInvalid(f"no order is called {order!r}; known: newest, oldest")
    return order == "newest"
