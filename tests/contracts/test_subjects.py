"""What a mapping may say about persons, and what becomes of their fields."""

from pathlib import Path
from typing import Any

import pytest

from bridge.contracts.loading import read_contracts
from bridge.contracts.mapping import parse_mapping
from bridge.contracts.subjects import SubjectRule, Taking, by_column
from bridge.model.sealing import Portion
from tests.eventlog.keeping.shop import MAPPING, write_contracts

RULES = "subjects:\n  - {kind: customer, id: customer_id, fields: [name, email, limit], "


def problems(tmp_path: Path, old: str, new: str) -> str:
    """Return what is wrong with the mapping in which `old` is replaced."""
    assert old in MAPPING
    found = read_contracts(write_contracts(tmp_path / "contracts", MAPPING.replace(old, new)))[1]
    return "\n".join(found)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("fields: [name, email, limit]", "fields: []", "must name at least one field"),
        ("fields: [name,", "fields: [nobody,", "field 'nobody' is not among the fields"),
        ("fields: [name,", "fields: [name, name,", "field 'name' belongs to a person already"),
        ("fields: [name,", "fields: [customer_id,", "key field 'customer_id' cannot be sealed"),
        ("id: customer_id, ", "id: email, ", "which is sealed: nobody could find the person's key"),
        ("id: customer_id, ", "id: who, ", "'id' names field 'who', which is not among the fields"),
        ("kind: customer,", "kind: Customer,", "'kind' must have the form"),
        ("class: customer-data", "class: 7", "'class' must have the form"),
        ("class: customer-data", "klass: x", "unknown key 'klass'"),
        ("class: customer-data", "klass: x", "key 'class' is missing"),
        ("subjects:\n  - ", "subjects: ", "'subjects' must be a list"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert told in problems(tmp_path, old, new)


def test_a_masked_field_names_nobody(tmp_path: Path) -> None:
    told = problems(
        tmp_path,
        "email:       {column: eml, type: string}",
        "email:       {column: eml, type: string, protect: mask}",
    )
    assert told == ""
    both = MAPPING.replace("eml, type: string}", "eml, type: string, protect: mask}")
    both = both.replace("id: customer_id", "id: email").replace("[name, email, limit]", "[name]")
    found = read_contracts(write_contracts(tmp_path / "second", both))[1]
    assert "all persons are one" in found[0]


def test_a_persons_long_field_is_never_remembered_for_a_refill() -> None:
    tree = {
        "subject": "a.b", "version": "1.0", "source": "s", "table": "p.t", "key": ["i"],
        "fields": {
            "i": {"column": "i", "type": "integer"},
            "note": {"column": "n", "type": "string"},
            "text": {"column": "t", "type": "string"},
        },
        "refill": True,
        "subjects": [{"kind": "k", "id": "i", "fields": ["note"], "class": "c"}],
    }  # fmt: skip
    mapping, found = parse_mapping(tree)
    assert mapping is not None, found
    assert mapping.refilled == {"text"}


RULE = SubjectRule(kind="customer", id="who", fields=("name", "a/b~c"), record_class="c")


def test_each_side_belongs_to_whom_it_names() -> None:
    data: dict[str, Any] = {
        "key": {"order": 5},
        "after": {"order": 5, "who": 2, "name": "B"},
        "before": {"order": 5, "who": "1", "name": "A", "a/b~c": 3},
    }
    rest, portions = Taking((RULE,)).take(data, "e:1")
    assert rest == {
        "key": {"order": 5},
        "after": {"order": 5, "who": 2},
        "before": {"order": 5, "who": "1"},
    }
    assert portions == [
        Portion("customer", "2", "c", {"/after/name": "B"}),
        Portion("customer", "1", "c", {"/before/name": "A", "/before/a~1b~0c": 3}),
    ]
    assert data["after"]["name"] == "B"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        ({"key": {"order": 5}, "after": {"who": None, "name": "A"}}, '?{"order":5}'),
        ({"key": None, "after": {"who": None, "name": "A"}}, "?e:1"),
        ({"key": None, "after": {"name": "A"}, "before": {"who": 7}}, "7"),
        ({"key": {"who": 8}, "before": {"name": "A"}}, "8"),
    ],
)
def test_a_person_is_named_by_what_is_there(data: dict[str, object], named: str) -> None:
    _, ((_, value, _, _),) = Taking((RULE,)).take(data, "e:1")
    assert value == named


def test_what_holds_nothing_of_a_person_stays_as_it_is() -> None:
    data = {"key": {"order": 5}, "before": {"order": 5}}
    assert Taking((RULE,)).take(data, "e:1") == (data, [])


def test_rules_are_told_by_column() -> None:
    (rule,) = by_column((RULE,), {"who": "cust_no", "name": "nm"})
    assert (rule.id, rule.fields) == ("cust_no", ("nm",))
