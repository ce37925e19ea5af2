"""What a mapping may declare for searching, and why it may not."""

from typing import Any

import pytest

from bridge.contracts.mapping import parse_mapping
from bridge.model.search_role import Role


def mapping(search: Any, **more: Any) -> dict[str, Any]:
    return {
        "subject": "shop.order",
        "version": "1.0",
        "source": "shop",
        "table": "public.orders",
        "key": ["order_id"],
        "fields": {
            "order_id": {"column": "a", "type": "integer"},
            "ordered_at": {"column": "b", "type": "timestamp"},
            "total": {"column": "c", "type": "decimal"},
            "customer_id": {"column": "d", "type": "integer"},
            "name": {"column": "e", "type": "string"},
            "card": {"column": "f", "type": "string", "protect": "hash"},
        },
        "search": search,
        **more,
    }


def test_declared_fields_have_a_role() -> None:
    parsed, problems = parse_mapping(
        mapping({"ordered_at": "date", "total": "amount", "name": "counterparty"})
    )
    assert problems == []
    assert parsed is not None
    assert dict(parsed.search) == {
        "ordered_at": Role.DATE,
        "total": Role.AMOUNT,
        "name": Role.COUNTERPARTY,
    }


def test_a_sealed_field_may_not_be_searched_by_value() -> None:
    rule = {"kind": "customer", "id": "customer_id", "fields": ["name"], "class": "customer-data"}
    _, problems = parse_mapping(mapping({"name": "counterparty"}, subjects=[rule]))
    [problem] = problems
    assert problem.startswith("search by 'name': it belongs to a person and is sealed")
    assert "search by a field that stays" in problem


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (["total"], "must be a mapping of field names to roles"),
        ({"totl": "amount"}, "search by 'totl': it is not among the fields"),
        ({"total": "money"}, "the role must be one of date, amount, counterparty, reference"),
        ({"total": "date"}, "a field of type 'decimal' is no date"),
        ({"card": "reference"}, "made unreadable (hash) before it is logged"),
        ({f"f{n}": "date" for n in range(7)}, "declares 7 fields; at most 6 are indexed"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_reason(search: Any, said: str) -> None:
    parsed, problems = parse_mapping(mapping(search))
    assert parsed is None
    assert any(said in problem for problem in problems), problems
