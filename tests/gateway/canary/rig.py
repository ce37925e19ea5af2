"""A worker at stage canary between two sides that say who they are, and a book of lanes."""

from collections import Counter

from bridge.gateway.dual.ports import IdPair, LaneState
from bridge.gateway.dual.read_sides import ReadSides
from bridge.gateway.dual.side_tokens import SideTokens
from bridge.gateway.routes.cohort import bucket_of, in_cohort
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.timeouts import Timeouts
from bridge.gateway.routes.table import RoutingTable
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpRequest
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.http.rig import BOTH, Gateway, route
from tests.gateway.http.upstream import Upstream, replies

KEY = bytes(range(32))


class Book:
    """What the journal and the id map would say."""

    def __init__(self) -> None:
        self.lanes: dict[str, LaneState] = {}
        self.pairs: dict[str, IdPair] = {}
        self.away = False

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return what stands in a lane's way."""
        if self.away:
            raise StorageUnavailable("the journal is away")
        return self.lanes.get(lane, LaneState())

    def pair(self, group: str, entity: str, known_id: str) -> IdPair | None:
        """Return the pair of an id."""
        if self.away:
            raise StorageUnavailable("the journal is away")
        return self.pairs.get(known_id)

    def pair_on(self, group: str, entity: str, side: Side, known_id: str) -> IdPair | None:
        """Return the pair whose id on `side` this is."""
        found = self.pairs.get(known_id)
        return found if found is not None and found.on(side) == known_id else None


def canary(share_percent: float, group: str = "orders", epoch: int = 3) -> GroupState:
    """Return a group on its ramp."""
    return GroupState(
        group=group,
        stage=Stage.CANARY,
        epoch=epoch,
        lanes_held=False,
        share_percent=share_percent,
    )


def reads(route_id: str, path: str, place: KeyPlace, name: str, **changes: object) -> Route:
    """Return a route that reads by a key of entity `order`."""
    key = KeyRule(place=place, name=name, entity="order")
    given = {"group": "orders", "upstreams": BOTH, "key": key, "cohort_salt": "orders"} | changes
    return route(route_id, path, b"GET", **given)


def decided(
    routes: tuple[Route, ...], share_percent: float, target: bytes, method: bytes = b"GET"
) -> Decision:
    """Return what the table decides at a share."""
    groups = [canary(share_percent, group) for group in {one.group for one in routes}]
    found = RoutingTable.build(routes, groups, 1).decide(method, None, target)
    assert isinstance(found, Decision)
    return found


def side_of(sides: ReadSides, decision: Decision, *headers: tuple[bytes, bytes]) -> Side:
    """Return who answers a read."""
    request = HttpRequest(method=b"GET", target=b"/", headers=headers, body=b"")
    if decision.choice is None:
        return decision.authority
    return sides.choose_whole(decision, request).authority


def a_key(share_percent: float, *, inside: bool, salt: str = "orders", start: int = 1) -> str:
    """Return an order that is in the cohort, or is not."""
    return next(
        str(number)
        for number in range(start, start + 100_000)
        if in_cohort(bucket_of(salt, f"order:{number}"), share_percent) is inside
    )


def says(side: bytes) -> bytes:
    """Return an answer that names its side."""
    return b"HTTP/1.1 200 OK\r\nX-Side: %b\r\nContent-Length: 2\r\n\r\nok" % side


ROUTES = (
    reads(
        "by-path", "/orders/{id}", KeyPlace.PATH, "id", timeouts=Timeouts(tunnel_drain_ms=300)
    ),
    reads("by-header", "/mine", KeyPlace.HEADER, "X-Order"),
    reads("by-cookie", "/basket", KeyPlace.COOKIE, "order"),
    reads("by-query", "/find", KeyPlace.QUERY, "order"),
    reads("by-claim", "/me", KeyPlace.CLAIM, "sub"),
    route(
        "by-body", "/search", b"POST", group="orders", upstreams=BOTH,
        key=KeyRule(place=KeyPlace.JSON, name="/order", entity="order"), cohort_salt="orders",
    ),
    route("list", "/orders", b"GET", group="orders", upstreams=BOTH, cohort_salt="orders"),
    route(
        "write", "/orders/{id}", b"PUT", group="orders", upstreams=BOTH, writes=True,
        key=KeyRule(place=KeyPlace.PATH, name="id", entity="order"), cohort_salt="orders",
    ),
)  # fmt: skip
IDS = IdRules(path={"id": "order"})


class CanaryGateway(Gateway):
    """A worker whose group `orders` stands at canary."""

    def __init__(self, legacy: Upstream, modern: Upstream, share_percent: float = 50.0) -> None:
        self.book = Book()
        self.tokens = SideTokens(KEY)
        self.chooser = ReadSides(journal=self.book, ids=self.book, tokens=self.tokens)
        super().__init__(
            {"legacy": legacy.port, "modern": modern.port},
            routes=ROUTES,
            groups=(canary(share_percent),),
            sides=self.chooser,
        )

    def counted(self, name: str) -> Counter[str]:
        """Return what was told so far: of `sides_chosen` by route and reason, of `side_tokens`."""
        total: Counter[str] = Counter()
        for note in self.observer.notes(name):
            total.update({fact: int(count) for fact, count in note.facts.items()})
        return total

    def step(self, share_percent: float) -> None:
        """Put the group at another share."""
        self.groups = (canary(share_percent, epoch=self.groups[0].epoch + 1),)
        self.generation.value += 1


def two_sides() -> tuple[Upstream, Upstream]:
    """Return a legacy and a modern side."""
    legacy, modern = Upstream(), Upstream()
    legacy.default, modern.default = replies(says(b"legacy")), replies(says(b"modern"))
    return legacy, modern
