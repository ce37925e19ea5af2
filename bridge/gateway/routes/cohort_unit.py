"""What a cohort is made of: the keys of one group, dealt by one salt and one kind of key.

Routes of a group touch the same data, so that a reader must not find one part of it on one side and
another part on the other. Salt and share are the group's. The kind of key has to be one as well:
were `/orders/7` dealt by its order and `/customers/3/orders` by its customer, order 7 could stand
on both sides at once. A read without that key (a list, a report) is *global*: it is about all keys,
and follows when all of them have.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from bridge.gateway.routes.route import KeyPlace, KeyRule, Route
from bridge.model.stage import Side

NO_ENTITY: Final = ""
"""Of keys that are the same on both sides, and so have no entity."""


def kinds_of_keys(routes: Iterable[Route]) -> Mapping[str, frozenset[str]]:
    """Return, for each group, the entities by which the keys of its routes are dealt.

    More than one is a fault, see `undealt`. Where no route of a group declares a key, those of
    `ids.path` are what its reads have.
    """
    declared: dict[str, set[str]] = {}
    of_paths: dict[str, set[str]] = {}
    for route in routes:
        declared.setdefault(route.group, set())
        if route.key is not None:
            declared[route.group].add(route.key.entity or NO_ENTITY)
        of_paths.setdefault(route.group, set()).update(route.ids.path.values())
    return {group: frozenset(kinds or of_paths[group]) for group, kinds in declared.items()}


def undealt(routes: Iterable[Route]) -> Mapping[str, str]:
    """Return why groups with two sides have no cohorts, in words that say what to do."""
    both = [route for route in routes if Side.MODERN in route.upstreams]
    found = {}
    for group, kinds in kinds_of_keys(both).items():
        if len(kinds) > 1:
            named = ", ".join(repr(kind) if kind else "no entity" for kind in sorted(kinds))
            found[group] = (
                f"the keys of its routes are of several kinds ({named}), and each kind is dealt"
                " into cohorts by itself: one thing's data would be read on two sides at once;"
                " name one 'entity' in every 'key' of the group, or make a group of each kind"
            )
    return found


def key_of_reads(route: Route, kinds: frozenset[str]) -> KeyRule | None:
    """Return where a read of `route` has the key that it is dealt by; None for a global one."""
    if len(kinds) != 1 or route.writes:
        return None
    (kind,) = kinds
    if route.key is not None and route.key.place is not KeyPlace.CREATED:
        return route.key
    for name, entity in route.ids.path.items():
        if entity == kind:
            return KeyRule(place=KeyPlace.PATH, name=name, entity=entity)
    return None
