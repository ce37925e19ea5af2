"""The entities of the routes in force: which route reads one, and which ones repair it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import quote

from bridge.gateway.comparison.comparing import Comparer
from bridge.gateway.routes.path_template import parameters
from bridge.gateway.routes.route import Route
from bridge.model.errors import ConfigInvalid, NotKnown
from bridge.model.stage import Side


@dataclass(frozen=True, kw_only=True)
class EntityRule:
    """How one kind of entity of a group is looked at."""

    route: Route
    """Reads one by its key."""
    others: Mapping[str, Route]
    """The routes of its group."""

    @property
    def group(self) -> str:
        """The group."""
        return self.route.group

    @property
    def entity(self) -> str:
        """What kind of thing it is."""
        assert self.route.reconcile.entity is not None, "only such routes have a rule"
        return self.route.reconcile.entity

    @cached_property
    def parameter(self) -> str:
        """The name of the key in the path."""
        return self.route.reconcile.key or next(iter(parameters(self.route.path)))

    @cached_property
    def comparer(self) -> Comparer:
        """What compares two answers."""
        return Comparer(self.route.comparison)

    @cached_property
    def id_entity(self) -> str | None:
        """What the id map calls the key; None when both sides know it by one id."""
        return self.route.ids.path.get(self.parameter)

    @cached_property
    def lane_entity(self) -> str | None:
        """What lanes of its writes are named after."""
        repair = self.route.reconcile.repair
        for name in (self.route.route_id, repair.put, repair.delete):
            route = self.others.get(name) if name else None
            if route is not None and route.key is not None:
                return route.key.entity
        return self.id_entity

    def target(self, key: str, route: Route | None = None) -> bytes:
        """Return the path of `route` (of the reading one) for an entity."""
        template = (route or self.route).path
        filled = [quote(key, safe="") if part[:1] == "{" else part for part in template.split("/")]
        return "/".join(filled).encode("ascii")

    def repairing(self, name: str | None, what: str) -> Route:
        """Return the route called `name`.

        Raises:
            ConfigInvalid: none is declared, or it is not a writing route of the group.
        """
        if name is None:
            raise ConfigInvalid(
                f"cannot repair {self.entity!r} of group {self.group!r}: its route "
                f"{self.route.route_id!r} declares no 'reconcile.repair.{what}'"
            )
        found = self.others.get(name)
        if found is None or not found.writes or not found.methods:
            raise ConfigInvalid(
                f"cannot repair {self.entity!r} of group {self.group!r}: {name!r} is no route of "
                "the group that writes"
            )
        return found


def entity_rules(routes: Iterable[Route]) -> list[EntityRule]:
    """Return the entities of all groups with two sides."""
    known = list(routes)
    return [
        EntityRule(
            route=route,
            others={one.route_id: one for one in known if one.group == route.group},
        )
        for route in known
        if route.reconcile.entity is not None and Side.MODERN in route.upstreams
    ]


def entity_named(rules: Iterable[EntityRule], group: str, entity: str | None) -> EntityRule:
    """Return the rule of an entity; raises `NotKnown` naming the known ones."""
    found = [rule for rule in rules if rule.group == group]
    named = [rule for rule in found if entity in (None, rule.entity)]
    if len(named) != 1:
        known = ", ".join(sorted(rule.entity for rule in found)) or "none"
        raise NotKnown(
            f"cannot find entity {entity or '(not said)'!r} of group {group!r}: known are {known}"
        )
    return named[0]
