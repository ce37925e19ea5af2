"""The route table: one immutable value that decides a whole request.

A table is built whole and swapped as one reference, so that no request is ever decided by half of
an old table and half of a new one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from bridge.gateway.http.framing import MessageRefused
from bridge.gateway.http.target import lenient_segments, loose_segments, segments
from bridge.gateway.routes.block_edit import SideRewriting
from bridge.gateway.routes.cohort_unit import key_of_reads, kinds_of_keys
from bridge.gateway.routes.decision import Choice, Decision
from bridge.gateway.routes.path_template import parameters
from bridge.gateway.routes.route import KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.ingress import IngressMode
from bridge.gateway.routes.timings import Timings
from bridge.gateway.routes.trie import Leaf, Node, Tail, find, gather_exact, gather_tails, insert
from bridge.model.errors import ConfigInvalid
from bridge.model.stage import GroupState, Side, Stage

AUTHORITY: Final[Mapping[Stage, Side]] = {
    Stage.LEGACY: Side.LEGACY,
    Stage.SHADOW: Side.LEGACY,
    Stage.DUAL: Side.LEGACY,
    Stage.CANARY: Side.LEGACY,
    # Key by key; until the authority table of a group exists, its keys are all legacy's.
    Stage.HANDOVER: Side.LEGACY,
    Stage.MODERN: Side.MODERN,
    Stage.COMPLETE: Side.MODERN,
}

_JOURNALLING: Final = frozenset((Stage.DUAL, Stage.CANARY, Stage.HANDOVER, Stage.MODERN))

_BOTH_ANSWER: Final = frozenset((Stage.SHADOW, Stage.DUAL, Stage.CANARY, Stage.MODERN))
"""Stages at which reads may be asked of either side: a tester may want to see the other one."""

# Segments of these bytes mean the same however they are read.
_PLAIN_BYTES: Final = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_~"


class Refusal(NamedTuple):
    """Why the table has no decision for a request."""

    status: int
    code: str
    detail: str
    allow: tuple[bytes, ...] = ()
    """Methods of the path, for 405."""


class RoutingTable:
    """Routes and stages of one generation."""

    __slots__ = ("_any_host", "_exact", "_hosts", "_tails", "generation", "leniences", "timings")

    def __init__(
        self,
        hosts: Mapping[bytes, Node],
        any_host: Node,
        generation: int,
        leniences: frozenset[str] = frozenset(),
        timings: Timings | None = None,
    ) -> None:
        self.timings = Timings() if timings is None else timings
        """What its decisions count into."""
        self.leniences = leniences
        """What some route allows; a request is taken only if its own does."""
        self._hosts = hosts
        self._any_host = any_host
        self._tails: dict[bytes, Tail] = {}
        gather_tails(any_host, b"", self._tails)
        self._exact: dict[bytes, Mapping[bytes, Leaf]] = {}
        gather_exact(any_host, b"", _PLAIN_BYTES, self._exact)
        self.generation = generation

    @classmethod
    def build(
        cls,
        routes: Iterable[Route],
        groups: Sequence[GroupState],
        generation: int,
        timings: Timings | None = None,
        *,
        forcible: bool = False,
    ) -> "RoutingTable":
        """Build the table; a group that nobody has switched yet stands at `legacy`, epoch 0.

        `timings` are those of the worker's earlier tables. `forcible`: whether tokens are out that
        force a side, of whatever group.

        Raises:
            ConfigInvalid: two routes claim the same requests, or a group stands at a stage whose
                authority it has no upstream for.
        """
        routes = tuple(routes)
        kinds = kinds_of_keys(routes)
        states = {state.group: state for state in groups}
        hosts: dict[bytes, Node] = {}
        any_host = Node()
        leniences: frozenset[str] = frozenset()
        timings = Timings() if timings is None else timings
        alike: dict[str, SideRewriting] = {}
        queueing = {route.group for route in routes if route.writes and _queues(route)}
        for route in routes:
            leniences |= route.lenience.names
            if route.host is None:
                root = any_host
            else:
                root = hosts.setdefault(route.host.lower().encode("ascii"), Node())
            plain = _decision(
                route,
                states.get(route.group),
                timings,
                alike,
                key=key_of_reads(route, kinds[route.group]),
                forcible=forcible,
                behind_queue=route.writes and route.group in queueing,
            )
            insert(root, route, Leaf(route, parameters(route.path), plain))
        return cls(hosts, any_host, generation, leniences, timings)

    def decide(
        self, method: bytes, host: bytes | None, target: bytes, lines: Sequence[bytes] = ()
    ) -> Decision | Refusal:
        """Decide one request.

        `host` is its authority's name in lower case, without the port; `lines` are its field lines.
        """
        path = target.partition(b"?")[0]
        if not self._hosts:
            # Most paths end in the only segment that varies: what is before it is looked up whole.
            before, _, last = path.rpartition(b"/")
            tail = self._tails.get(before)
            if tail is not None and last and not last.translate(None, _PLAIN_BYTES):
                leaf = tail.methods.get(method)
                if leaf is not None and last not in tail.literals:
                    return leaf.decision({leaf.names[0]: last.decode("ascii")})
            exact = self._exact.get(path)
            if exact is not None and method in exact:
                return exact[method].plain
        loose: list[str] | None = None
        try:
            parts = segments(path)
            if b"//" in path or b";" in path or path[-1:] == b"/":
                loose = loose_segments(path)
        except MessageRefused as refused:
            found = self._leniently(method, host, path, lines) if self.leniences else None
            return found or Refusal(refused.status, "ambiguous-path", refused.detail)
        allowed: list[bytes] = []
        for root in self._roots(host):
            params: list[str] = []
            leaf = find(root, parts, 0, method, lines, params, allowed)
            if leaf is None:
                continue
            if loose is not None:
                other = find(root, loose, 0, method, lines, [], [])
                if other is not None and other is not leaf and _matters(leaf, other, path):
                    return Refusal(
                        400,
                        "ambiguous-path",
                        "the path differs only by an empty segment or a ';' from one"
                        f" of route {other.route.route_id!r}",
                    )
            if not params:
                return leaf.plain
            return leaf.decision(dict(zip(leaf.names, params, strict=True)))
        if allowed:
            methods = tuple(sorted(set(allowed)))
            return Refusal(405, "method-not-routed", "no route of this path takes it", methods)
        return Refusal(404, "no-route", "no route takes this path")

    def _roots(self, host: bytes | None) -> tuple[Node, ...]:
        named = self._hosts.get(host) if host is not None and self._hosts else None
        return (self._any_host,) if named is None else (named, self._any_host)

    def _leniently(
        self, method: bytes, host: bytes | None, path: bytes, lines: Sequence[bytes]
    ) -> Decision | None:
        """Decide a path that is read differently by different systems, if its route allows it.

        Read the other way it must not name another route that writes: `/files/..%2Forders` is no
        way to the orders past their rules.
        """
        try:
            reading = lenient_segments(path, self.leniences)
        except MessageRefused:
            return None
        for root in self._roots(host):
            params: list[str] = []
            leaf = find(root, reading.parts, 0, method, lines, params, [])
            if leaf is None:
                continue
            if not reading.used <= leaf.route.lenience.names:
                return None
            other = find(root, reading.other, 0, method, lines, [], [])
            if other is not None and other is not leaf and other.route.writes:
                return None
            return leaf.decision(dict(zip(leaf.names, params, strict=True)))
        return None


def _matters(leaf: Leaf, other: Leaf, path: bytes) -> bool:
    """Whether it matters that a back end may read a path as another route's.

    It does for a write, and where that route leads elsewhere: a path that names a closed door, or
    data of the other side, must not get there by an empty segment. A slash at the end alone does
    not: frameworks redirect it.
    """
    if other.route.writes:
        return True
    return other.plain.upstream != leaf.plain.upstream and (b"//" in path or b";" in path)


def _queues(route: Route) -> bool:
    return route.ingress.mode is not IngressMode.OFF


def _in_place(decision: Decision, timings: Timings) -> Decision:
    """Return how the other side answers in place of the one that is asked: counted by itself."""
    label = f"{decision.route.route_id}.{decision.stage.value}.fallback"
    return decision._replace(label=label, times=timings.of(label))


def _is_looked_up(route: Route, stage: Stage) -> bool:
    """Whether a read's key is asked about: in the path always, elsewhere where routes ask for it.

    Until all of the group's writes are where they are to be: see `dual.quiet_groups`. At `canary`
    the choice of the side has asked already.
    """
    if route.dual.read_your_writes:
        return True
    key = route.key
    in_path = key is not None and key.place is KeyPlace.PATH
    return in_path and not route.writes and len(route.upstreams) > 1 and stage is not Stage.CANARY


def _choice(
    route: Route, state: GroupState | None, key: KeyRule | None, *, forcible: bool
) -> Choice | None:
    share_percent = state.share_percent if state and state.stage is Stage.CANARY else 0.0
    if forcible or (share_percent and not route.writes and (key or share_percent >= 100)):
        return Choice(share_percent, key, forcible)
    return None


def _decision(
    route: Route,
    state: GroupState | None,
    timings: Timings,
    alike: dict[str, SideRewriting],
    *,
    key: KeyRule | None,
    forcible: bool,
    behind_queue: bool,
) -> Decision:
    stage = state.stage if state else Stage.LEGACY
    epoch = state.epoch if state else 0
    authority = AUTHORITY[stage]
    if authority not in route.upstreams:
        raise ConfigInvalid(
            f"cannot build the route table: group {route.group!r} is at stage {stage.value!r}, but"
            f" its routes name no upstream for side {authority.value!r}"
        )
    # A group that was ever switched keeps its writes on the write path at stage legacy too: after a
    # roll back a lane may still hold replays *to* legacy, which a new write must not overtake.
    journalled = (
        route.writes
        and Side.LEGACY in route.upstreams
        and Side.MODERN in route.upstreams
        and (stage in _JOURNALLING or (epoch > 0 and stage is not Stage.COMPLETE))
    )
    # What is journalled at a later stage comes to the other side by its replay, not as a copy.
    tapped = len(route.upstreams) > 1 and route.shadow.copies(stage, writes=route.writes)
    looked_up = epoch > 0 and _is_looked_up(route, stage)
    choice = _choice(route, state, key, forcible=forcible)
    # A key in the body is known when the request is whole.
    in_body = choice is not None and key is not None and key.place is KeyPlace.JSON

    def by(side: Side) -> Decision:
        edits = route.rewriting[side]
        if edits is not None:
            # Routes with the same rules share one object: see `plane.edited_heads`.
            edits = alike.setdefault(repr(edits), edits)
        changes = edits is not None and edits.needs_bodies
        label = f"{route.route_id}.{stage.value}.{side.value}"
        has_ids = (
            bool(route.ids) or looked_up or _queues(route) or changes or in_body or behind_queue
        )
        back = None
        if side is Side.MODERN and stage in _BOTH_ANSWER and route.protection.falls_back:
            back = _in_place(by(Side.LEGACY), timings)
        return Decision(
            route=route,
            stage=stage,
            epoch=epoch,
            authority=side,
            params={},
            journalled=journalled,
            upstream=route.upstreams[side],
            has_ids=has_ids,
            tapped=tapped,
            edits=edits,
            label=label,
            times=timings.of(label),
            way_back=back,
            special=journalled or has_ids or back is not None,
            behind_queue=behind_queue,
        )

    answers = by(authority)._replace(choice=choice)
    if not route.writes and authority.other in route.upstreams and stage in _BOTH_ANSWER:
        answers = answers._replace(other=by(authority.other))
    return answers
