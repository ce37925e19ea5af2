"""Documents that cannot be used say where and why; those that can are part of the routes."""

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from bridge.gateway.openapi.checking import answer_faults
from bridge.gateway.openapi.document import ApiDocument
from bridge.gateway.openapi.reading import BYTES_MAX, DocumentFaultError
from bridge.gateway.routes.differences import changes
from bridge.gateway.routes.loader import load_routes
from bridge.model.errors import ConfigInvalid
from bridge.storage.applied_routes import AppliedRoutes, read_files
from tests.cli.deployment import Deployment
from tests.gateway.openapi.generated import SHOP, content

BASE: dict[str, Any] = {
    "openapi": "3.0.3",
    "info": {"title": "t", "version": "1"},
    "paths": {
        "/a/{id}": {
            "get": {
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {}}],
                "responses": {
                    "200": {
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/A"}}
                        }
                    }
                },
            }
        }
    },
    "components": {"schemas": {"A": {"type": "object", "properties": {"b": {"type": "string"}}}}},
}
GET = "/paths/~1a~1{id}/get"
A = "/components/schemas/A"


def parse(tree: Any) -> ApiDocument:
    return ApiDocument.parse("openapi/a.json", orjson.dumps(tree))


def at(tree: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        tree = tree[token.replace("~1", "/")]
    return tree


@pytest.mark.parametrize(
    ("where", "change", "pointer", "words"),
    [
        ("", {"openapi": "2.0"}, "/openapi", "neither 3.0.x nor 3.1.x"),
        ("", {"paths": {"a": {}}}, "/paths/a", "does not begin with '/'"),
        ("", {"paths": {"/a": []}}, "/paths/~1a", "is no object"),
        (GET, {"responses": {}}, f"{GET}/responses", "declares no answer"),
        (GET, {"responses": {"20": {}}}, f"{GET}/responses/20", "is no status"),
        (GET, {"parameters": {}}, f"{GET}/parameters", "is no list"),
        (GET, {"parameters": [{"in": "body"}]}, f"{GET}/parameters/0", "has no 'name'"),
        (A, {"properties": {"b": {"$ref": "#/components/schemas/B"}}},
         f"{A}/properties/b/$ref", "which is not there"),
        (A, {"properties": {"b": {"$ref": "other.yaml#/B"}}},
         f"{A}/properties/b/$ref", "bundle the document"),
        (A, {"properties": {"b": {"pattern": "("}}}, f"{A}/properties/b/pattern",
         "is not what a schema may say there"),
        (A, {"properties": {"b": {"type": "objekt"}}}, f"{A}/properties/b/type",
         "is not what a schema may say there"),
        (A, {"properties": {"b": 5}}, f"{A}/properties/b", "is no schema"),
        (A, {"allOf": {}}, f"{A}/allOf", "is no list of schemas"),
        (A, {"oneOf": [{"$ref": f"#{A}"}], "discriminator": {}}, f"{A}/discriminator",
         "has no 'propertyName'"),
        (A, {"oneOf": [{"$ref": f"#{A}"}],
             "discriminator": {"propertyName": "b", "mapping": {"x": "C"}}},
         f"{A}/discriminator/mapping/x", "is none of the alternatives"),
        (A, {"$dynamicRef": "#b"}, A, "dynamic reference"),
        ("/components", {"schemas": {"A": {"$ref": "#/components/schemas/A"}}}, None, None),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(
    where: str, change: dict[str, Any], pointer: str | None, words: str | None
) -> None:
    tree = copy.deepcopy(BASE)
    parse(tree)
    at(tree, where).update(change)
    if pointer is None:
        parse(tree)  # A schema may lead to itself.
        return
    assert words is not None
    with pytest.raises(DocumentFaultError) as fault:
        parse(tree)
    assert str(fault.value).startswith(f"{pointer} "), fault.value
    assert words in str(fault.value)


def test_what_is_no_document_at_all() -> None:
    for raw, words in (
        (b"[1]", "is no object"),
        (b"a: 1\na: 2\n", "given twice"),
        (b"{", "is neither JSON nor YAML"),
        (b" " * (BYTES_MAX + 1), "at most"),
    ):
        with pytest.raises(DocumentFaultError, match=words):
            ApiDocument.parse("a.yaml", raw)
    circle = copy.deepcopy(BASE)
    circle["components"]["responses"] = {"R": {"$ref": "#/components/responses/R"}}
    circle["paths"]["/a/{id}"]["get"]["responses"]["200"] = {"$ref": "#/components/responses/R"}
    with pytest.raises(DocumentFaultError, match="in circles"):
        parse(circle)


def test_x_begins_extensions_and_names_of_fields() -> None:
    tree = copy.deepcopy(BASE)
    tree["x-team"] = tree["paths"]["x-note"] = "orders"
    get = tree["paths"]["/a/{id}"]["get"]
    get["responses"]["x-note"] = 1
    get["responses"]["200"]["headers"] = {"x-rate": {"required": True, "x-note": 1}}
    tree["components"]["schemas"]["A"] |= {"x-note": 1, "properties": {"x-b": {"type": "integer"}}}
    document = parse(tree)
    found = document.find("GET", "/a/1")
    assert not isinstance(found, str)
    json = (b"Content-Type", b"application/json")
    assert set(answer_faults(document, found, "GET", 200, (json,), b'{"x-b": ""}')) == {
        ("required", "header:x-rate"),
        ("type", "/x-b"),
    }


def test_a_deep_schema_is_refused_and_not_a_crash() -> None:
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(100):
        deep = {"type": "array", "items": deep}
    tree = copy.deepcopy(BASE)
    tree["components"]["schemas"]["A"] = deep
    with pytest.raises(DocumentFaultError, match="levels deep"):
        parse(tree)


def test_yaml_and_json_are_one_document() -> None:
    tree = yaml.safe_load(content("shop-3.0.yaml"))
    again = ApiDocument.parse("shop.json", orjson.dumps(tree))
    assert [one[:2] for one in again.operations] == [one[:2] for one in SHOP.operations]


ROUTES = """
group: orders
sides: {legacy: legacy-app, modern: modern-app}
defaults: {comparison: {openapi: openapi/shop.yaml}}
routes:
  - {id: order-read, methods: [GET], path: "/api/v2/orders/{order_id}"}
"""
UPSTREAMS = ("legacy-app", "modern-app")


def folder_of(path: Path) -> Path:
    (path / "openapi").mkdir()
    (path / "openapi" / "shop.yaml").write_bytes(content("shop-3.0.yaml"))
    (path / "orders.yaml").write_text(ROUTES)
    return path


def test_a_document_is_loaded_with_its_routes(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (before,) = load_routes(folder, UPSTREAMS)
    assert before.api is not None
    assert before.api.legacy is before.api.modern
    file = folder / "openapi" / "shop.yaml"
    file.write_bytes(file.read_bytes() + b"# changed\n")
    (after,) = load_routes(folder, UPSTREAMS)
    (change,) = changes([before], [after])
    assert {one.field.partition(".")[0] for one in change.fields} == {"api"}
    file.write_bytes(b"openapi: 3.0.0\npaths: {/a: 1}\n")
    with pytest.raises(ConfigInvalid) as fault:
        load_routes(folder, UPSTREAMS)
    for words in ("'orders.yaml'", "'order-read'", "'openapi/shop.yaml', in which /paths/~1a is"):
        assert words in str(fault.value)
    file.unlink()
    with pytest.raises(ConfigInvalid, match=r"cannot be read.*beside the route files"):
        load_routes(folder, UPSTREAMS)


@pytest.mark.parametrize("name", ["shop.yaml", "../shop.yaml", "openapi/../../a.yaml", "/a.yaml"])
def test_a_document_is_in_its_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "orders.yaml").write_text(ROUTES.replace("openapi/shop.yaml", name))
    with pytest.raises(ConfigInvalid, match="openapi"):
        load_routes(tmp_path, UPSTREAMS)


def test_an_applied_copy_has_its_documents(tmp_path: Path) -> None:
    edited, data = tmp_path / "routes", tmp_path / "data"
    edited.mkdir()
    folder_of(edited)
    (edited / "openapi" / "old").mkdir()
    (edited / "openapi" / "old" / "a.json").write_text("{}")
    (edited / "openapi" / "notes.txt").write_text("no document")
    store = AppliedRoutes(data)
    files = read_files(edited)
    assert set(files) == {"orders.yaml", "openapi/shop.yaml", "openapi/old/a.json"}
    digest = store.keep(files)
    (copied,) = load_routes(store.folder_of(digest), UPSTREAMS)
    assert copied.api is not None
    assert store.files(digest) == files


def test_routes_check_tells_where_routes_and_document_do_not_meet(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    folder = tmp_path / "routes"
    (folder / "openapi").mkdir()
    (folder / "openapi" / "shop.yaml").write_bytes(content("shop-3.0.yaml"))
    path = folder / "orders.yaml"
    tree = yaml.safe_load(path.read_text())
    tree["defaults"] = {"comparison": {"openapi": "openapi/shop.yaml"}}
    tree["routes"] += [
        {"id": "read", "methods": ["GET", "PUT"], "path": "/api/v2/orders/{id}", "writes": False},
        {"id": "rest", "methods": ["GET"], "path": "/api/v2/customers/{rest...}"},
    ]
    path.write_text(yaml.safe_dump(tree))
    found = deployment.call("routes", "check", "--json").json()
    said = {(one["where"], one["what"]) for one in found if "openapi/shop" in str(one)}
    assert (
        "orders/order-read",
        "/orders/{order_id} is not in 'openapi/shop.yaml': every request to it counts as drift",
    ) in said
    assert (
        "orders/read",
        "PUT /api/v2/orders/{id} is not in 'openapi/shop.yaml', other methods of it are",
    ) in said
    unrouted = {what.split()[1:3][1] for where, what in said if where == "openapi/shop.yaml"}
    assert "/orders/{order_id}/label.{format}," in unrouted
    assert not {"/customers/{customer_id},"} & unrouted
    assert all(one["kind"] == "notice" for one in found if "openapi/shop" in str(one))
    (folder / "openapi" / "shop.yaml").write_text("openapi: 3.0.0\n")
    assert deployment.call("routes", "check").code == 0, "a document may be empty"
    (folder / "openapi" / "shop.yaml").write_text("openapi: 3.0.0\npaths: []\n")
    said_of = deployment.call("routes", "check", "--json")
    assert said_of.code == 1
    assert "/paths is no object" in said_of.out
