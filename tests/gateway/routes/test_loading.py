"""`routes/*.yaml`: what loads, and the message for what does not."""

from pathlib import Path

import pytest

from bridge.gateway.routes.loader import load_routes
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.routes.route_file import BODY_BYTES_MAX_DEFAULT
from bridge.gateway.routes.sections.timeouts import Timeouts
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
    ("grup: x", "'grup' is unknown; did you mean 'group'?"),
    ("- 1", "the file is not a mapping of keys"),
    ("group: [", "while parsing"),
    ("group: a\ngroup: b", "key 'group' is given twice"),
    ("group: A\nsides: {legacy: legacy-app}\nroutes: []", "'group' is not of the form ^[a-z]"),
    ("group: a\nsides: {legacy: legacy-app}\nroutes: []", "'routes' is not a list with at least"),
    ("group: a\nsides: {modern: modern-orders}\nroutes: []", "no upstream for 'legacy'"),
    (
        "group: a\nsides: {legcy: legacy-app}\nroutes: []",
        "'sides.legcy' is unknown; known are 'legacy' or 'modern'",
    ),
    (
        REST.replace("legacy-app", "legacy-ap"),
        "upstream 'legacy-ap', which is not configured; known are 'legacy-app', 'modern-orders'",
    ),
    (
        "group: g\nsides: {legacy: legacy-app}\nroutes: [{path: /x, id: A}, 1]",
        "route 'A' 'id' is not of the form ^[a-z][a-z0-9_-]{0,62}$; route 2 is not a mapping",
    ),
    (ROUTE % "pth: /x", "route 'r' 'pth' is unknown; did you mean 'path'?"),
    (ROUTE % "methods: [GET]", "route 'r' 'path' is missing"),
    (ROUTE % "methods: [GET], path: x", "begins with '/'"),
    (ROUTE % 'methods: [GET], path: "/{x"', "has segment '{x' in its path"),
    (ROUTE % 'methods: [GET], path: "/a{x}"', "has segment 'a{x}' in its path"),
    (ROUTE % 'methods: [GET], path: "/a/../b"', "has segment '..' in its path"),
    (ROUTE % 'methods: [GET], path: "/a?b"', "has segment 'a?b' in its path"),
    (ROUTE % 'methods: [GET], path: "/{x...}/b"', "goes on after '{x...}'"),
    (ROUTE % 'methods: [GET], path: "/{x}/{x}"', "names a path parameter twice"),
    (ROUTE % "methods: [get], path: /x", "has method 'get'; methods are upper-case names"),
    (ROUTE % "methods: GET, path: /x", "route 'r' 'methods' is not a list"),
    (ROUTE % "methods: [GET, GET], path: /x", "names a method twice"),
    (ROUTE % "methods: [POST], path: /x", "does not say 'writes: true' or 'writes: false'"),
    (ROUTE % "methods: [POST], path: /x, writes: maybe", "route 'r' 'writes' is not true or false"),
    (ROUTE % "methods: [POST], path: /x, writes: true", "has no 'key'; say where"),
    (ROUTE % "methods: [GET], path: /x, writes: true", "writes with a method that only reads"),
    (ROUTE % "methods: [PUT], path: /x, writes: true, key: {path: y}", "names 'y', which is not"),
    (
        ROUTE % "methods: [PUT], path: /x, writes: true, key: {json: y}",
        "'y' is no JSON pointer, which begins with '/'",
    ),
    (
        ROUTE % "methods: [PUT], path: /x, writes: true, key: {json: /y, header: z}",
        "needs one place out of path, header, cookie, query, claim, json, created",
    ),
    (
        ROUTE % "methods: [PUT], path: /x, writes: true, key: {jsn: /y}",
        "'key.jsn' is unknown; did you mean 'json'",
    ),
    (ROUTE % "methods: [GET], path: /x, ids: {path: {y: order}}", "names 'y', which is not in"),
    (
        ROUTE % "methods: [GET], path: /x, ids: {respnse: {}}",
        "'ids.respnse' is unknown; did you mean 'response'",
    ),
    (
        ROUTE % "methods: [GET], path: /x, ids: {response: {/a: 1}}",
        "'ids.response./a' is not a text",
    ),
    (ROUTE % "methods: [GET], path: /x, timeout_ms: 0", "'timeout_ms' is less than 1"),
    (ROUTE % "methods: [GET], path: /x, timeout_ms: yes", "'timeout_ms' is not a whole number"),
    (ROUTE % 'methods: [GET], path: /x, host: "a:80"', "'host' is not of the form"),
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


DEFAULTS = """
group: orders
sides: {legacy: legacy-app}
defaults: {timeout_ms: 700, host: shop.example}
routes:
  - {id: own, path: /own, timeout_ms: 900}
  - {id: taken, path: /taken}
"""


def test_a_file_says_what_holds_for_all_its_routes(tmp_path: Path) -> None:
    own, taken = load_routes(write(tmp_path, a=DEFAULTS), UPSTREAMS)
    assert (own.timeout_ms, own.host) == (900, "shop.example")
    assert (taken.timeout_ms, taken.host) == (700, "shop.example")
    with pytest.raises(ConfigInvalid) as wrong:
        load_routes(write(tmp_path, a=DEFAULTS.replace("700", "0")), UPSTREAMS)
    said = "cannot load routes 'a.yaml': 'defaults.timeout_ms' is less than 1"
    assert str(wrong.value) == said, "once, not for every route that takes it"


SECTIONS = """
group: orders
sides: {legacy: legacy-app}
defaults: {timeouts: {connect_ms: 5, idle_ms: 6}}
routes:
  - {id: joined, path: /joined, timeouts: {idle_ms: 7}}
  - {id: taken, path: /taken}
  - {id: none, path: /none, timeouts: off}
"""


def test_sections_are_joined_key_by_key_and_off_takes_nothing(tmp_path: Path) -> None:
    joined, taken, off = load_routes(write(tmp_path, a=SECTIONS), UPSTREAMS)
    assert (joined.timeouts.connect_ms, joined.timeouts.idle_ms) == (5, 7)
    assert (taken.timeouts.connect_ms, taken.timeouts.idle_ms) == (5, 6)
    assert off.timeouts == Timeouts()


def test_a_section_may_refuse_the_route_that_it_is_in(tmp_path: Path) -> None:
    text = DEFAULTS.replace("timeout_ms: 900", "request: {both: {path: {prefix: /x, to: /y}}}")
    with pytest.raises(ConfigInvalid, match=r"route 'own' 'request' rewrites prefix '/x'"):
        load_routes(write(tmp_path, a=text), UPSTREAMS)


KEYED = """
group: mine
sides: {legacy: legacy-app}
routes: [{id: mine, path: /mine, key: {claim: sub, verified_by: issuer.jwks}}]
"""


def test_keys_of_issuers_stand_beside_the_files(tmp_path: Path) -> None:
    write(tmp_path, a=KEYED)
    with pytest.raises(ConfigInvalid, match=r"'issuer.jwks', which cannot be read"):
        load_routes(tmp_path, UPSTREAMS)
    (tmp_path / "issuer.jwks").write_text('{"keys": []}')
    with pytest.raises(ConfigInvalid, match=r"'issuer.jwks', which has no 'keys'"):
        load_routes(tmp_path, UPSTREAMS)
    (tmp_path / "issuer.jwks").write_text('{"kty": "oct", "k": "%s"}' % ("a" * 43))
    (mine,) = load_routes(tmp_path, UPSTREAMS)
    assert mine.key is not None
    assert mine.key.token_keys is not None
    with pytest.raises(ConfigInvalid, match="'verified_by', which only a 'claim' can be"):
        load_routes(write(tmp_path, a=KEYED.replace("claim:", "cookie:")), UPSTREAMS)


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"no \*.yaml in"):
        load_routes(tmp_path, UPSTREAMS)


def test_the_routes_of_the_demo_load() -> None:
    folder = Path(__file__).parents[3] / "routes"
    routes = load_routes(folder, UPSTREAMS)
    assert any(route.writes and len(route.upstreams) == 2 for route in routes)
