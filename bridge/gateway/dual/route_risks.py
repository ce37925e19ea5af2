"""What new routes would do to dual writes that are under way, found before they are in force."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from bridge.gateway.routes.cohort_unit import undealt
from bridge.gateway.routes.differences import ChangeKind, RouteChange
from bridge.gateway.routes.route import Route
from bridge.model.stage import GroupState, Side, Stage

_ONE_SIDED: Final = frozenset({Stage.LEGACY, Stage.COMPLETE})
_OF_THE_KEY: Final = frozenset({"key", "ids.path"})


class Risk(NamedTuple):
    """One thing to know before routes are applied."""

    group: str
    text: str
    blocks: bool
    """Whether writes that clients were told of would be lost, overtaken or stuck."""


def risks(
    changes: Sequence[RouteChange],
    after: Iterable[Route],
    groups: Iterable[GroupState],
    open_writes: Mapping[str, int],
) -> list[Risk]:
    """Return the risks of `changes`.

    `open_writes` counts, by group, the journalled writes that the other side does not have yet, and
    those whose outcome is not known.
    """
    stages = {state.group: state.stage for state in groups}
    after = tuple(after)
    kept = {route.group for route in after}
    two_sided = {route.group for route in after if Side.MODERN in route.upstreams}
    found = []
    for group in sorted({change.route.group for change in changes}):
        stage, count = stages.get(group, Stage.LEGACY), open_writes.get(group, 0)
        if group not in two_sided and (stage is not Stage.LEGACY or count):
            what = "loses its modern side" if group in kept else "is removed"
            found.append(
                Risk(
                    group,
                    f"group {what}, which stands at stage {stage.value} and has {count} open"
                    " writes; roll it back and let its lanes drain first",
                    blocks=True,
                )
            )
    for group, why in sorted(undealt(after).items()):
        if stages.get(group) is Stage.CANARY:
            found.append(Risk(group, f"group stands at canary, and {why}", blocks=True))
    for change in changes:
        group = change.route.group
        stage, count = stages.get(group, Stage.LEGACY), open_writes.get(group, 0)
        found += _of_route(change, stage, count)
    return found


def _of_route(change: RouteChange, stage: Stage, count: int) -> list[Risk]:
    route = change.route
    before = change.before
    found = []

    def tell(text: str, *, blocks: bool = False) -> None:
        found.append(Risk(route.group, f"route {route.route_id!r} {text}", blocks))

    if before is None or not (before.writes or route.writes):
        return []
    if change.kind is ChangeKind.REMOVED:
        if count:
            tell(f"is removed, and {count} open writes may need it to be replayed", blocks=True)
        return found
    fields = {field.field for field in change.fields}
    if any(field.split(".")[0] == "key" or field in _OF_THE_KEY for field in fields):
        tell(
            f"has another key: writes lie in other lanes than before, and {count} open ones could"
            " be overtaken"
            if count
            else "has another key: its writes lie in other lanes than before",
            blocks=bool(count),
        )
    if before.writes and not route.writes and stage not in _ONE_SIDED:
        tell(f"does not write any more: at stage {stage.value} the other side misses its changes")
    if "path" in fields and count:
        tell(f"has another path, and {count} open writes hold the old one")
    if any(field.startswith("sides") for field in fields) and count:
        tell(f"goes to another upstream, and so do {count} open writes")
    if "cohort_salt" in fields and stage is not Stage.LEGACY:
        tell(
            "has another cohort salt: all keys are dealt anew",
            # In the middle of a ramp that is keys that change their side by the thousand.
            blocks=stage is Stage.CANARY,
        )
    return found
