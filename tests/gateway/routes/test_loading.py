"""`routes/*.yaml`: what loads, and the message for what does not."""

from pathlib import Path

import pytest

from bridge.gateway.routes.loader import BODY_BYTES_MAX_DEFAULT, load_routes
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.model.errors import ConfigInvalid
from bridge.model.stage import Side

UPSTREAMS = ("legacy-app", "modern-orders")

GOOD = """
group: orders
sides: {legacy: legacy-app, modern: modern-orders}
routes:
  - id: order-create
    methods: [POST]
    path: /orders
    writes: true
    key: {created: /order_id, entity: order}
    ids: {response: {/order_id: order}}
    server_error_in_doubt: true
  - id: order-status
    methods: [PUT]
    path: "/orders/{order_id}/status"
    host: shop.example
    writes: true
    key: {path: order_id, entity: order}
    ids: {path: {order_id: order}, request: {/parent: order}, response: {/order_id: order}}
    body_bytes_max: 1000
    timeout_ms: 2000
  - {id: order-read, methods: [GET], path: "/orders/{order_id}"}
"""
REST = """
group: rest
sides: {legacy: legacy-app}
routes:
  - {id: rest, path: "/{rest...}"}
"""
ROUTE = "group: g\nsides: {legacy: legacy-app, modern: modern-orders}\nroutes:\n  - {id: r, %s}\n"


def write(folder: Path, **files: str) -> Path:
    """Write route files."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder


def test_loads_every_group(tmp_path: Path) -> None:
    create, status, read, rest = load_routes(write(tmp_path, a=GOOD, b=REST), UPSTREAMS)
    assert create.key == KeyRule(place=KeyPlace.CREATED, name="/order_id", entity="order")
    assert create.upstreams == {Side.LEGACY: "legacy-app", Side.MODERN: "modern-orders"}
    assert create.server_error_in_doubt
    assert create.body_bytes_max == BODY_BYTES_MAX_DEFAULT
    assert (status.host, status.body_bytes_max, status.timeout_ms) == ("shop.example", 1000, 2000)
    assert status.ids == IdRules(
        path={"order_id": "order"}, request={"/parent": "order"}, response={"/order_id": "order"}
    )
    assert (read.writes, read.key, bool(read.ids)) == (False, None, False)
    assert (rest.methods, rest.upstreams) == ((), {Side.LEGACY: "legacy-app"})


BAD = (
    ("grup: x", "the file has unknown key 'grup'; nearest known is 'group'"),
    ("- 1", "the file is not a mapping with group, sides, routes"),
    ("group: [", "while parsing"),
    ("group: a\ngroup: b", "key 'group' is given twice"),
    ("group: A\nsides: {legacy: legacy-app}\nroutes: []", "has group 'A', which is not of the"),
    ("group: a\nsides: {legacy: legacy-app}\nroutes: []", "'routes' is not a list with at least"),
    ("group: a\nsides: {modern: modern-orders}\nroutes: []", "no upstream for 'legacy'"),
    ("group: a\nsides: {legcy: legacy-app}\nroutes: []", "'legcy'; nearest known is 'legacy'"),
    (
        "group: a\nsides: {legacy: legacy-ap}\nroutes: []",
        "upstream 'legacy-ap', which is not configured; known are 'legacy-app', 'modern-orders'",
    ),
    (ROUTE % "pth: /x", "route 1 has unknown key 'pth'; nearest known is 'path'"),
    (ROUTE % "methods: [GET]", "route 'r' needs 'path', a template that begins with '/'"),
    (ROUTE % "methods: [GET], path: x", "begins with '/'"),
    (ROUTE % 'methods: [GET], path: "/{x"', "has segment '{x' in its path"),
    (ROUTE % 'methods: [GET], path: "/a{x}"', "has segment 'a{x}' in its path"),
    (ROUTE % 'methods: [GET], path: "/a/../b"', "has segment '..' in its path"),
    (ROUTE % 'methods: [GET], path: "/a?b"', "has segment 'a?b' in its path"),
    (ROUTE % 'methods: [GET], path: "/{x...}/b"', "goes on after '{x...}'"),
    (ROUTE % 'methods: [GET], path: "/{x}/{x}"', "names a path parameter twice"),
    (ROUTE % "methods: [get], path: /x", "has method 'get'; methods are upper-case names"),
    (ROUTE % "methods: GET, path: /x", "is not a list, e.g. [GET, POST]"),
    (ROUTE % "methods: [GET, GET], path: /x", "names a method twice"),
    (ROUTE % "methods: [POST], path: /x", "does not say 'writes: true' or 'writes: false'"),
    (ROUTE % "methods: [POST], path: /x, writes: maybe", "'writes' of route 'r' is not true or"),
    (ROUTE % "methods: [POST], path: /x, writes: true", "has no 'key'; say where"),
    (ROUTE % "methods: [GET], path: /x, writes: true", "writes with a method that only reads"),
    (ROUTE % "methods: [PUT], path: /x, writes: true, key: {path: y}", "names 'y', which is not"),
    (ROUTE % "methods: [PUT], path: /x, writes: true, key: {json: y}", "'y' for a JSON pointer"),
    (
        ROUTE % "methods: [PUT], path: /x, writes: true, key: {json: /y, header: z}",
        "needs one place out of path, header, query, json, created",
    ),
    (ROUTE % "methods: [PUT], path: /x, writes: true, key: {jsn: /y}", "nearest known is 'json'"),
    (ROUTE % "methods: [GET], path: /x, ids: {path: {y: order}}", "names 'y', which is not in"),
    (ROUTE % "methods: [GET], path: /x, ids: {respnse: {}}", "nearest known is 'response'"),
    (ROUTE % "methods: [GET], path: /x, ids: {response: {/a: 1}}", "entity 1, which is not a name"),
    (ROUTE % "methods: [GET], path: /x, timeout_ms: 0", "timeout_ms 0, which is not a positive"),
    (ROUTE % "methods: [GET], path: /x, timeout_ms: yes", "timeout_ms True, which is not"),
    (ROUTE % 'methods: [GET], path: /x, host: "a:80"', "has host 'a:80', which is not of the form"),
)


@pytest.mark.parametrize(("text", "message"), BAD)
def test_says_what_is_wrong_and_where(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as wrong:
        load_routes(write(tmp_path, bad=text), UPSTREAMS)
    assert str(wrong.value).startswith("cannot load routes 'bad.yaml': ")
    assert message in str(wrong.value)


def test_ids_and_groups_are_unique_over_all_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"group 'rest' is in 'a.yaml' and 'b.yaml'"):
        load_routes(write(tmp_path, a=REST, b=REST), UPSTREAMS)
    again = REST.replace("group: rest", "group: other")
    with pytest.raises(ConfigInvalid, match="id 'rest' is used in groups 'rest' and 'other'"):
        load_routes(write(tmp_path, a=REST, b=again), UPSTREAMS)
    clash = again.replace("id: rest", "id: more")
    with pytest.raises(ConfigInvalid, match="'rest' and 'more' both take"):
        load_routes(write(tmp_path, a=REST, b=clash), UPSTREAMS)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"no \*.yaml in"):
        load_routes(tmp_path, UPSTREAMS)


def test_the_routes_of_the_demo_load() -> None:
    folder = Path(__file__).parents[3] / "routes"
    routes = load_routes(folder, UPSTREAMS)
    assert any(route.writes and len(route.upstreams) == 2 for route in routes)
