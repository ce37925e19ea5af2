"""Conforming traffic has no fault, and each planted one is found where it is, by its rule."""

import copy
import random
from typing import Any

import openapi_schema_validator
import openapi_spec_validator
import orjson
import pytest
import yaml

from bridge.gateway.openapi.checking import Fault, answer_faults, request_faults
from bridge.model.http import Headers
from tests.gateway.openapi.generated import (
    JSON,
    LEDGER,
    SHOP,
    Ledger,
    Shop,
    content,
    exchanges,
)

PROBLEM = (b"Content-Type", b"application/problem+json")
ENTRY = (b"Content-Type", b"application/vnd.ledger+json")
TAGGED = (JSON, (b"ETag", b'"1"'))
ORDER = "/api/v2/orders/17"


def of_answer(
    body: Any, *, target: str = ORDER, status: int = 200, headers: Headers = TAGGED
) -> set[tuple[str, str]]:
    """Return rule and place of what is wrong with an answer of the shop."""
    document = LEDGER if target.startswith(("/entries", "/accounts")) else SHOP
    found = document.find("GET", target.partition("?")[0])
    assert not isinstance(found, str), found
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return set(answer_faults(document, found, "GET", status, headers, raw))


def of_request(
    target: str, method: str = "GET", headers: Headers = (), body: bytes | None = b""
) -> set[tuple[str, str]]:
    """Return rule and place of what is wrong with a request."""
    document = LEDGER if target.startswith(("/entries", "/accounts")) else SHOP
    return set(request_faults(document, method, target, headers, body)[1])


@pytest.mark.parametrize("seed", range(10))
def test_conforming_traffic_has_no_fault(seed: int) -> None:
    for document, method, target, fields, status, headers, body in exchanges(seed):
        found, wrong = request_faults(document, method, target, fields, None)
        assert not wrong, (target, wrong)
        assert found is not None
        faults = answer_faults(document, found, method, status, headers, body)
        assert not faults, (target, faults)


@pytest.mark.parametrize("seed", range(10))
def test_conforming_requests_with_bodies_have_no_fault(seed: int) -> None:
    order = Shop(seed).order()
    # What only legacy may say need not be in a request.
    order.pop("replaces", None)
    del order["order_id"], order["placed_at"], order["customer"]["customer_id"]
    for customer in _customers(order["customer"]):
        customer["password"] = "x" * 8
    assert not of_request("/api/v2/orders", "POST", (JSON,), orjson.dumps(order))
    del order["customer"]["password"]
    assert of_request("/api/v2/orders", "POST", (JSON,), orjson.dumps(order)) == {
        ("required", "/customer/password")
    }


def _customers(customer: dict[str, Any] | None) -> list[dict[str, Any]]:
    return [] if customer is None else [customer, *_customers(customer.get("referrer"))]


def changed(**changes: Any) -> dict[str, Any]:
    """Return an order with other members."""
    order = Shop(3).order()
    order.pop("replaces", None)
    return {**order, **changes}


LINE = {"sku": "AB-0001", "quantity": 1, "price": {"amount": 1, "currency": "EUR"}}


@pytest.mark.parametrize(
    ("change", "rule", "place"),
    [
        ({"status": "shipped"}, "enum", "/status"),
        ({"status": None}, "enum", "/status"),
        ({"order_id": "17"}, "type", "/order_id"),
        ({"order_id": 2**31}, "maximum", "/order_id"),
        ({"placed_at": "2024-05-01 10:00"}, "format", "/placed_at"),
        ({"total": {"amount": 1}}, "required", "/total/currency"),
        ({"total": {"amount": 1, "currency": "EURO"}}, "maxLength", "/total/currency"),
        ({"total": {"amount": -1, "currency": "EUR"}}, "minimum", "/total/amount"),
        ({"total": {"amount": 1.005, "currency": "EUR"}}, "multipleOf", "/total/amount"),
        ({"total": {"amount": 1, "currency": "EUR", "c": 1}}, "additionalProperties", "/total"),
        ({"lines": []}, "minItems", "/lines"),
        ({"lines": [LINE, {**LINE, "quantity": 0}]}, "exclusiveMinimum", "/lines/*/quantity"),
        ({"lines": [{**LINE, "sku": "ab"}]}, "pattern", "/lines/*/sku"),
        ({"lines": [{**LINE, "tags": ["a", "a"]}]}, "uniqueItems", "/lines/*/tags"),
        ({"lines": [{**LINE, "discount": {"amount": 1}}]},
         "required", "/lines/*/discount/currency"),
        ({"weight_kg": 1000}, "exclusiveMaximum", "/weight_kg"),
        ({"payment": {"kind": "cheque"}}, "enum", "/payment/kind"),
        ({"payment": {"kind": "debit", "last_digits": "x"}}, "pattern", "/payment/last_digits"),
        ({"payment": {"kind": "transfer"}}, "required", "/payment/iban"),
        ({"shipment": {"parcel": "1", "pickup_at": "2024-05-01T10:00:00Z"}}, "anyOf", "/shipment"),
        ({"comment": 5}, "type", "/comment"),
        ({"customer": {"name": "", "joined_on": "2024-02-29", "customer_id": "C"}},
         "minLength", "/customer/name"),
        ({"customer": {"name": "a", "joined_on": "2024-02-30", "customer_id": "C"}},
         "format", "/customer/joined_on"),
        ({"customer": {"name": "a", "joined_on": "2024-02-29", "customer_id": "C",
                       "notes": {"bob@example.org": 5}}}, "type", "/customer/notes/*"),
        ({"customer": {"name": "a", "joined_on": "2024-02-29", "customer_id": "C",
                       "referrer": {"name": "b"}}}, "required", "/customer/referrer/customer_id"),
    ],
)  # fmt: skip
def test_each_kind_of_drift_of_a_body_is_found_at_its_place(
    change: dict[str, Any], rule: str, place: str
) -> None:
    assert not of_answer(changed())
    assert (rule, place) in of_answer(changed(**change))


ENTRY_TARGET = "/entries/123e4567-e89b-12d3-a456-426614174000"


@pytest.mark.parametrize(
    ("change", "rule", "place"),
    [
        ({"version": 8}, "const", "/version"),
        ({"booked": "yes"}, "type", "/booked"),
        ({"span": [1, 2, 3]}, "items", "/span/*"),
        ({"lines": []}, "contains", "/lines"),
        ({"lines": [{"side": "credit", "amount": 0, "account": "1"}]},
         "exclusiveMinimum", "/lines/*/amount"),
        ({"lines": [{"side": "credit", "amount": 1}]}, "required", "/lines/*/account"),
        ({"lines": [{"side": "credit", "amount": 1, "account": "1", "tax_code": 1}]},
         "dependentRequired", "/lines/*"),
        ({"source": {"type": "Person", "login": "much too long"}}, "maxLength", "/source/login"),
        ({"new": 1}, "unevaluatedProperties", "/"),
        ({"id": "17"}, "format", "/id"),
    ],
)  # fmt: skip
def test_so_is_each_kind_that_3_1_adds(change: dict[str, Any], rule: str, place: str) -> None:
    entry = Ledger(1).entry()
    found = of_answer({**entry, **change}, target=ENTRY_TARGET, headers=(ENTRY,))
    assert (rule, place) in found, found


def test_accounts_by_number() -> None:
    def accounts(tree: Any) -> set[tuple[str, str]]:
        return of_answer(tree, target="/accounts", headers=(JSON,))

    assert accounts({}) == {("minProperties", "/")}
    assert accounts({"47": {}}) == {("additionalProperties", "/")}
    debt = {"number": "1", "kind": "debt"}
    assert accounts({"4711": debt}) == {("required", "/*/creditor")}
    nested = {"number": "1", "kind": "asset", "parent": {"number": "2", "kind": "x"}}
    assert accounts({"4711": nested}) == {("enum", "/*/parent/kind")}


def test_what_stands_around_a_body() -> None:
    order = changed()
    assert of_answer(order, status=418) == {("status", "status:418")}
    assert of_answer(order, headers=(JSON,)) == {("required", "header:etag")}
    untagged = (JSON, (b"ETag", b"1"))
    assert of_answer(order, headers=untagged) == {("pattern", "header:etag")}
    html = ((b"Content-Type", b"text/html"), (b"ETag", b'"1"'))
    assert of_answer(b"<p>", headers=html) == {("content-type", "header:content-type")}
    assert of_answer(order, headers=TAGGED[1:]) == {("content-type", "header:content-type")}
    assert of_answer(b"", headers=TAGGED) == {("body", "/")}
    assert of_answer(b"{", headers=TAGGED) == {("json", "/")}
    assert of_answer({"title": 1, "status": 404}, status=404, headers=(PROBLEM,)) == {
        ("type", "/title")
    }
    assert of_answer(b"gone", target=ENTRY_TARGET, status=404) == {("undeclared", "body")}
    listing = "/api/v2/orders?customer=C1"
    many = (JSON, (b"X-Total-Count", b"many"))
    assert of_answer([], target=listing, headers=many) == {("type", "header:x-total-count")}


def test_requests() -> None:
    assert of_request("/api/v2/nothing") == {("path", "request")}
    assert of_request("/orders/17") == {("path", "request")}, "not without the server's path"
    assert of_request(ORDER, "PATCH") == {("method", "request")}
    assert of_request("/api/v2/orders/x") == {("type", "path:order_id")}
    assert of_request("/api/v2/orders") == {("required", "query:customer")}
    assert of_request("/api/v2/orders?customer=9&page=0&status=new,lost") == {
        ("pattern", "query:customer"),
        ("minimum", "query:page"),
        ("enum", "query:status"),
    }
    long = ((b"x-trace", b"x" * 41),)
    assert of_request("/api/v2/orders?customer=C1", headers=long) == {
        ("maxLength", "header:x-trace")
    }
    assert of_request("/api/v2/orders/17/label.gif") == {("enum", "path:format")}
    assert of_request(ENTRY_TARGET) == {("required", "cookie:session")}
    cookie = ((b"cookie", b"session=1"),)
    assert of_request(ENTRY_TARGET + "?expand=all", headers=cookie) == {("enum", "query:expand")}
    assert of_request(ENTRY_TARGET, "PUT") == {("required", "body")}
    text = ((b"Content-Type", b"text/plain"),)
    assert of_request(ENTRY_TARGET, "PUT", text, b"x") == {("content-type", "header:content-type")}


def test_of_a_large_body_some_items_are_looked_at_and_names_are_no_data() -> None:
    for count in (150, 2_000):  # Up to 32 kB the first fault is found wherever it is.
        order = changed(lines=[dict(LINE) for _ in range(count)])
        assert not of_answer(order)
        order["lines"][count * 3 // 4] = {**LINE, "quantity": -1}
        order["lines"][0] = {**LINE, "sku": "bob@example.org"}
        order["comment"] = 1
        found = of_answer(order)
        expected = {("pattern", "/lines/*/sku"), ("type", "/comment")}
        assert expected <= found
        assert ("minItems", "/lines") not in found
        assert all("bob" not in place for _, place in found)
    medium = changed(lines=[dict(LINE) for _ in range(150)])
    medium["lines"][149] = {**LINE, "quantity": -1}
    assert of_answer(medium) == {("exclusiveMinimum", "/lines/*/quantity")}


@pytest.mark.parametrize("name", ["shop-3.0.yaml", "ledger-3.1.yaml"])
def test_another_reader_takes_the_documents_for_valid(name: str) -> None:
    openapi_spec_validator.validate(yaml.safe_load(content(name)))


def _mutated(value: Any, chance: random.Random) -> Any:
    """Return `value` with one change somewhere."""
    if isinstance(value, dict) and value and chance.random() < 0.85:
        name = chance.choice(sorted(value))
        if chance.random() < 0.2:
            return {key: inner for key, inner in value.items() if key != name}
        return {**value, name: _mutated(value[name], chance)}
    if isinstance(value, list) and value and chance.random() < 0.85:
        at = chance.randrange(len(value))
        return [*value[:at], _mutated(value[at], chance), *value[at + 1 :]]
    return chance.choice([None, 0, -1, 2.5, 2**40, "", "x", True, [], {}, [1], {"x": 1}])


def test_two_validators_agree_about_changed_bodies() -> None:
    """The library's own validators are the oracle; they do not know discriminators' short cuts."""
    trees = {
        "Customer": (yaml.safe_load(content("shop-3.0.yaml")), SHOP, "/api/v2/customers/C1"),
        "Entry": (yaml.safe_load(content("ledger-3.1.yaml")), LEDGER, ENTRY_TARGET),
    }
    for name, (tree, _, target) in trees.items():
        root = {
            "$ref": f"#/components/schemas/{name}",
            "components": copy.deepcopy(tree["components"]),
        }
        if name == "Customer":
            part = root["components"]["schemas"]["Customer"]["allOf"][1]
            # It takes `nullable` by the letter, generators do not: see the decision.
            customer = {"$ref": "#/components/schemas/Customer"}
            part["properties"]["referrer"] = {"anyOf": [{"enum": [None]}, customer]}
            part["properties"]["level"]["enum"].append(None)
            oracle = openapi_schema_validator.OAS30ReadValidator(
                root, format_checker=openapi_schema_validator.oas30_format_checker
            )
        else:
            oracle = openapi_schema_validator.OAS31Validator(
                root, format_checker=openapi_schema_validator.oas31_format_checker
            )
        headers = (JSON,) if name == "Customer" else (ENTRY,)
        valid = 0
        for seed in range(150):
            made = Shop(seed).customer(2) if name == "Customer" else Ledger(seed).entry()
            changed_body = _mutated(made, random.Random(seed))
            fits = bool(oracle.is_valid(changed_body))
            assert fits is not bool(of_answer(changed_body, target=target, headers=headers)), (
                seed,
                changed_body,
            )
            valid += fits
        assert 10 < valid < 140, valid


def test_a_fault_is_a_rule_and_a_place() -> None:
    assert Fault("type", "/a") == ("type", "/a")
