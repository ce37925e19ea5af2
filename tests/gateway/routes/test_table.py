"""The route table: which route a path means, and what a stage makes of it."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.table import AUTHORITY, Refusal, RoutingTable
from bridge.model.errors import ConfigInvalid
from bridge.model.stage import GroupState, Side, Stage

BOTH = {Side.LEGACY: "old", Side.MODERN: "new"}


def route(
    path: str,
    *methods: bytes,
    group: str = "orders",
    host: str | None = None,
    writes: bool = False,
    sides: int = 2,
) -> Route:
    """Return a route named after its path and methods."""
    return Route(
        route_id=" ".join([path, *(method.decode() for method in methods)]),
        group=group,
        methods=methods,
        path=path,
        host=host,
        writes=writes,
        key=KeyRule(place=KeyPlace.HEADER, name="key") if writes else None,
        ids=IdRules(),
        upstreams=BOTH if sides == 2 else {Side.LEGACY: "old"},
        body_bytes_max=1,
        timeout_ms=1,
    )


def table(*routes: Route, stage: Stage = Stage.LEGACY, epoch: int = 0) -> RoutingTable:
    """Return a table whose group `orders` stands at `stage`."""
    state = GroupState(group="orders", stage=stage, epoch=epoch, lanes_held=False)
    return RoutingTable.build(routes, [state], 1)


def found(decided: Decision | Refusal) -> tuple[str, dict[str, str]]:
    """Return route and parameters of a decision."""
    assert isinstance(decided, Decision), decided
    return decided.route.path, dict(decided.params)


ROUTES = (
    route("/", b"GET"),
    route("/orders", b"GET"),
    route("/orders", b"POST", writes=True),
    route("/orders/{id}", b"GET"),
    route("/orders/latest", b"GET"),
    route("/orders/{id}/lines/{no}", b"PUT", writes=True),
    route("/orders/{id}/{rest...}", b"GET"),
    route("/static/{file...}", group="files", sides=1),
)


@pytest.mark.parametrize(
    ("method", "path", "template", "params"),
    [
        (b"GET", b"/", "/", {}),
        (b"GET", b"/orders", "/orders", {}),
        (b"GET", b"/orders?x=1/2", "/orders", {}),
        (b"GET", b"/orders/7", "/orders/{id}", {"id": "7"}),
        (b"HEAD", b"/orders/7", "/orders/{id}", {"id": "7"}),
        (b"GET", b"/orders/latest", "/orders/latest", {}),
        (b"GET", b"/orders/caf%C3%A9%20x", "/orders/{id}", {"id": "café x"}),
        (b"GET", b"/orders/%37", "/orders/{id}", {"id": "7"}),
        (b"GET", b"/orders/l%61test", "/orders/latest", {}),
        (b"GET", b"/x/../orders/./7", "/orders/{id}", {"id": "7"}),
        (b"PUT", b"/orders/7/lines/2", "/orders/{id}/lines/{no}", {"id": "7", "no": "2"}),
        (b"GET", b"/orders/7/lines/2", "/orders/{id}/{rest...}", {"id": "7", "rest": "lines/2"}),
        (b"GET", b"/orders/7/", "/orders/{id}/{rest...}", {"id": "7", "rest": ""}),
        (b"REPORT", b"/static/a//b/", "/static/{file...}", {"file": "a//b/"}),
        (b"GET", b"/static/..", "/", {}),
    ],
)
def test_finds_the_route(method: bytes, path: bytes, template: str, params: dict[str, str]) -> None:
    assert found(table(*ROUTES).decide(method, b"a", path)) == (template, params)


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        (b"GET", b"/nothing", 404, ()),
        (b"GET", b"/ORDERS", 404, ()),
        (b"GET", b"/static", 404, ()),
        (b"DELETE", b"/orders", 405, (b"GET", b"POST")),
        (b"POST", b"/", 405, (b"GET",)),
        (b"GET", b"/orders%2F7", 400, ()),
        (b"GET", b"/../x", 400, ()),
    ],
)
def test_says_why_there_is_none(
    method: bytes, path: bytes, status: int, allow: tuple[bytes, ...]
) -> None:
    refusal = table(*ROUTES).decide(method, b"a", path)
    assert isinstance(refusal, Refusal)
    assert (refusal.status, refusal.allow) == (status, allow)


@pytest.mark.parametrize(
    "path", [b"//orders", b"/orders//", b"/orders/", b"/orders;x=1", b"/x//../orders;a/"]
)
def test_a_write_cannot_slip_past_the_journal_by_another_spelling(path: bytes) -> None:
    """A back end that merges slashes or cuts `;` would write, by a route that does not journal."""
    routes = (*ROUTES, route("/{rest...}", group="everything", sides=1))
    decided = table(*routes, stage=Stage.DUAL, epoch=1).decide(b"POST", b"a", path)
    assert isinstance(decided, Refusal), decided
    assert (decided.status, decided.code) == (400, "ambiguous-path")
    assert isinstance(table(*routes).decide(b"GET", b"a", path), Decision)


def test_hosts_before_any_host() -> None:
    routes = (
        route("/x", b"GET", host="Shop.example"),
        route("/{rest...}", b"GET", group="all"),
    )
    built = table(*routes)
    assert found(built.decide(b"GET", b"shop.example", b"/x"))[0] == "/x"
    assert found(built.decide(b"GET", b"other", b"/x"))[0] == "/{rest...}"
    assert found(built.decide(b"GET", b"shop.example", b"/y"))[0] == "/{rest...}"
    assert found(built.decide(b"GET", None, b"/x"))[0] == "/{rest...}"


@pytest.mark.parametrize(("stage", "epoch"), list(itertools.product(Stage, [0, 3])))
def test_authority_and_journal_by_stage(stage: Stage, epoch: int) -> None:
    built = table(*ROUTES, stage=stage, epoch=epoch)
    write, read = (built.decide(method, b"a", b"/orders") for method in (b"POST", b"GET"))
    assert isinstance(write, Decision)
    assert isinstance(read, Decision)
    modern = stage in (Stage.MODERN, Stage.COMPLETE)
    assert write.authority is read.authority is (Side.MODERN if modern else Side.LEGACY)
    assert not read.journalled
    two_sided = stage not in (Stage.LEGACY, Stage.SHADOW, Stage.COMPLETE)
    # Once switched, a group's writes stay on the write path: lanes may still lead back to legacy.
    rolled_back = epoch > 0 and stage in (Stage.LEGACY, Stage.SHADOW)
    assert write.journalled is (two_sided or rolled_back)
    assert (write.stage, write.epoch) == (stage, epoch)


def test_every_stage_has_an_authority() -> None:
    assert set(AUTHORITY) == set(Stage)


def test_a_group_with_one_side_is_never_journalled_and_stays() -> None:
    single = route("/x", b"POST", writes=True, sides=1)
    decided = table(single, stage=Stage.LEGACY, epoch=4).decide(b"POST", b"a", b"/x")
    assert isinstance(decided, Decision)
    assert not decided.journalled
    with pytest.raises(ConfigInvalid, match=r"group 'orders' is at stage 'modern'"):
        table(single, stage=Stage.MODERN, epoch=5)


def test_two_routes_for_the_same_requests_are_refused() -> None:
    with pytest.raises(ConfigInvalid, match=r"both take GET '/a/\{y\}'"):
        table(route("/a/{x}", b"GET", b"PUT"), route("/a/{y}", b"GET"))
    with pytest.raises(ConfigInvalid, match="both take"):
        table(route("/a/{x...}"), route("/a/{y...}"))


def test_deep_paths_do_not_recurse_without_bound() -> None:
    built = table(*ROUTES)
    path = b"/orders/7" + b"/x" * 4_000
    assert found(built.decide(b"GET", b"a", path))[0] == "/orders/{id}/{rest...}"


PIECES = st.sampled_from(
    [
        "orders",
        "latest",
        "lines",
        "7",
        "a-b",
        "..",
        ".",
        "",
        "%37",
        "l%61test",
        "x;y",
        "*",
        "static",
    ]
)


@given(
    pieces=st.lists(PIECES, max_size=5), method=st.sampled_from([b"GET", b"HEAD", b"PUT", b"POST"])
)
def test_the_short_way_to_a_route_finds_what_the_long_way_finds(
    pieces: list[str], method: bytes
) -> None:
    """A table with a route for a host of its own does not take the short way."""
    short = table(*ROUTES)
    long = table(*ROUTES, route("/elsewhere", b"GET", host="elsewhere"))
    path = "/".join(["", *pieces]).encode() or b"/"
    assert short.decide(method, b"a", path) == long.decide(method, b"a", path)
