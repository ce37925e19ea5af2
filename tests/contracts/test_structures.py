"""Structured types, in a contract of their own: what an event says of them, and what it keeps."""

import copy
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from bridge.contracts import ContractSet, TableMapper, check
from bridge.contracts.schema import MEMBERS
from bridge.model.change import BeforeImage, ChangeKind, Relation, Row, RowChange
from bridge.model.event import Breach, Event
from tests.contracts.samples import DIALECT, ORIGIN, relation, write_contract

TEXT, INT4, INTERVAL, BOX_ARRAY = 25, 23, 1186, 1020


def contract(directory: Path, *, members: bool = True, **fields: Any) -> ContractSet:
    """Write and load a contract with an integer key `id` and a field per argument."""
    mapping = {
        "subject": "shop.thing",
        "version": "1.0",
        "source": "shop",
        "table": "public.thing",
        "key": ["id"],
        "fields": {
            "id": {"column": "id", "type": "integer"},
            **{
                name: {"column": name, **(tree if isinstance(tree, dict) else {"type": tree})}
                for name, tree in fields.items()
            },
        },
    }
    schema: dict[str, Any] = {
        "$schema": DIALECT,
        "type": "object",
        "required": ["key"],
        "additionalProperties": False,
        "properties": {
            "key": {},
            "before": {},
            "after": {"type": "object", "properties": {name: {} for name in mapping["fields"]}},
            **(copy.deepcopy(MEMBERS) if members else {}),
        },
    }
    write_contract(
        directory,
        subject="shop.thing",
        schema=schema,
        mapping=yaml.safe_dump(mapping, sort_keys=False),
    )
    problems = check(directory)
    assert not problems, problems
    return ContractSet.load(directory, type_prefix="com.example")


def shape(**oids: int) -> Relation:
    columns = tuple((name, oid, -1) for name, oid in {"id": INT4, **oids}.items())
    return relation(columns, keys=("id",), table="thing")


def mapper_of(contracts: ContractSet, shape: Relation) -> TableMapper:
    found = contracts.mapper("shop", shape)
    assert found is not None
    return found


def created(shape: Relation, row: Row) -> RowChange:
    return RowChange(ChangeKind.CREATED, shape, None, BeforeImage.NONE, row)


def data_of(mapped: Any, kind: type[Event | Breach] = Event) -> dict[str, Any]:
    assert isinstance(mapped, kind), mapped
    data: dict[str, Any] = orjson.loads(mapped.payload)["data"]
    return data


def value_of(directory: Path, tree: Any, text: str, oid: int = 99_999) -> Any:
    """Return what a field of type `tree` becomes for a column's text."""
    here = shape(v=oid)
    mapper = mapper_of(contract(directory, v=tree), here)
    return data_of(mapper.map(created(here, ("1", text)), ORIGIN))["after"]["v"]


@pytest.mark.parametrize(
    ("tree", "text", "value"),
    [
        ({"type": "array", "items": "integer"}, "{1,NULL,-3}", [1, None, -3]),
        ({"type": "array", "items": "string"}, '{a,"b,c","NULL",NULL}', ["a", "b,c", "NULL", None]),
        ({"type": "array", "items": "integer"}, "{{1,2},{3,4}}", [[1, 2], [3, 4]]),
        ({"type": "array", "items": "string"}, "{}", []),
        ({"type": "range", "items": "integer"}, "empty", {"empty": True}),
        (
            {"type": "range", "items": "timestamp"},
            '["2024-01-01 00:00:00",infinity)',
            {
                "lower": "2024-01-01T00:00:00",
                "upper": "infinity",
                "lower_inclusive": True,
                "upper_inclusive": False,
            },
        ),
        (
            {"type": "multirange", "items": "decimal"},
            "{(,1.50],[2,3)}",
            [
                {"lower": None, "upper": "1.50", "lower_inclusive": False, "upper_inclusive": True},
                {"lower": "2", "upper": "3", "lower_inclusive": True, "upper_inclusive": False},
            ],
        ),
        (
            {"type": "object", "fields": {"street": "string", "no": "integer"}},
            '("a ""b"" \\\\ c",)',
            {"street": 'a "b" \\ c', "no": None},
        ),
        (
            {"type": "object", "fields": {"tags": {"type": "array", "items": "string"}}},
            '("{a,""b c""}")',
            {"tags": ["a", "b c"]},
        ),
        ("hstore", '"a"=>"1", "b"=>NULL', {"a": "1", "b": None}),
        ({"type": "text", "of": "geometry"}, "0101", {"type": "geometry", "text": "0101"}),
        ("text", "POINT", {"type": "oid 99999", "text": "POINT"}),
        ({"type": "integer", "as": "string"}, "9223372036854775807", "9223372036854775807"),
        (
            {"type": "interval", "as": "parts"},
            "P1Y2M-3DT0.5S",
            {"months": 14, "days": -3, "seconds": "0.5"},
        ),
        ({"type": "decimal", "of": "money"}, "-$1,234.50", "-1234.50"),
    ],
)
def test_a_structure_is_read(tmp_path: Path, tree: Any, text: str, value: Any) -> None:
    assert value_of(tmp_path, tree, text) == value


def test_a_built_in_type_is_named_by_its_oid(tmp_path: Path) -> None:
    assert value_of(tmp_path, "text", "'a':1", 3614) == {"type": "tsvector", "text": "'a':1"}


def test_boxes_are_separated_by_semicolons(tmp_path: Path) -> None:
    tree = {"type": "array", "items": "string"}
    assert value_of(tmp_path, tree, "{(1,1),(0,0);(2,2),(1,1)}", BOX_ARRAY) == [
        "(1,1),(0,0)",
        "(2,2),(1,1)",
    ]


def test_digits_stay_in_a_number_and_in_json_inside_a_composite(tmp_path: Path) -> None:
    tree = {"type": "object", "fields": {"n": {"type": "decimal", "as": "number"}, "j": "json"}}
    here = shape(v=99_999)
    mapper = mapper_of(contract(tmp_path, v=tree), here)
    row = ("1", '(12345678901234567890.10,"{""a"":  1.10}")')
    event = mapper.map(created(here, row), ORIGIN)
    assert isinstance(event, Event)
    assert b'"v":{"n":12345678901234567890.10,"j":{"a":  1.10}}' in event.payload


def test_shifted_bounds_are_kept_beside_the_row(tmp_path: Path) -> None:
    here = shape(v=99_999)
    tree = {"type": "array", "items": "integer"}
    mapper = mapper_of(contract(tmp_path, v=tree), here)
    data = data_of(mapper.map(created(here, ("1", "[0:1][-2:-1]={{1,2},{3,4}}")), ORIGIN))
    assert data["after"]["v"] == [[1, 2], [3, 4]]
    assert data["bounds"] == {"/after/v": [0, -2]}


def test_a_contract_that_knows_no_bounds_never_loses_them(tmp_path: Path) -> None:
    here = shape(v=99_999)
    mapper = mapper_of(
        contract(tmp_path, members=False, v={"type": "array", "items": "integer"}), here
    )
    mapped = mapper.map(created(here, ("1", "[0:0]={7}")), ORIGIN)
    assert isinstance(mapped, Breach)
    assert mapped.reason.startswith("/after/v: has shifted bounds; ")
    assert data_of(mapped, Breach)["bounds"] == {"/after/v": [0]}


@pytest.mark.parametrize("oid", [TEXT, 99_999])
@pytest.mark.parametrize("tree", ["string", {"type": "text", "of": "varchar"}])
def test_a_text_that_is_not_utf_8_is_kept_as_base64(tmp_path: Path, tree: Any, oid: int) -> None:
    here = shape(v=oid)
    mapper = mapper_of(contract(tmp_path, v=tree), here)
    data = data_of(mapper.map(created(here, ("1", b"caf\xe9")), ORIGIN))
    value = data["after"]["v"]
    assert (value if tree == "string" else value["text"]) == "Y2Fm6Q=="
    assert data["base64"] == ["/after/v"]


def test_a_contract_that_knows_no_base64_never_takes_it_for_text(tmp_path: Path) -> None:
    here = shape(v=TEXT)
    mapper = mapper_of(contract(tmp_path, members=False, v="string"), here)
    mapped = mapper.map(created(here, ("1", b"caf\xe9")), ORIGIN)
    assert isinstance(mapped, Breach)
    assert mapped.reason.startswith("/after/v: is not UTF-8; ")
    assert data_of(mapped, Breach)["after"]["v"] == "Y2Fm6Q=="


@pytest.mark.parametrize(
    ("tree", "oid", "cell", "raw"),
    [
        ({"type": "array", "items": "integer"}, 99_999, "{1,x}", {"text": "{1,x}"}),
        ("date", 1082, "someday", {"text": "someday"}),
        ("integer", INT4, b"\xff1", {"base64": "/zE="}),
        ("json", 114, '{"a": 1e999}', {"text": '{"a": 1e999}'}),
        ({"type": "object", "fields": {"a": "string"}}, 99_999, "(1,2)", {"text": "(1,2)"}),
    ],
)
def test_a_column_that_cannot_be_read_is_kept_raw_and_its_event_goes_on(
    tmp_path: Path, tree: Any, oid: int, cell: Any, raw: dict[str, str]
) -> None:
    here = shape(v=oid, w=TEXT)
    mapper = mapper_of(contract(tmp_path, v=tree, w="string"), here)
    event = mapper.map(created(here, ("1", cell, "fine")), ORIGIN)
    data = data_of(event)
    assert isinstance(event, Event)
    assert event.undecoded == ("/after/v",)
    assert data["after"] == {"id": 1, "w": "fine"}
    name = tree if isinstance(tree, str) else tree["type"]
    assert data["decode_error"] == [{"path": "/after/v", "type": name, **raw}]


def test_a_key_that_cannot_be_read_is_parked(tmp_path: Path) -> None:
    here = shape(v=TEXT)
    mapper = mapper_of(contract(tmp_path, v="string"), here)
    mapped = mapper.map(created(here, ("x", "fine")), ORIGIN)
    assert isinstance(mapped, Breach)
    assert mapped.reason == "/after/id: cannot be read as integer"


def test_a_mapping_may_park_what_cannot_be_read(tmp_path: Path) -> None:
    contract(tmp_path, v="date")
    path = tmp_path / "shop.thing" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text() + "on_decode_error: park\n")
    here = shape(v=1082)
    mapper = mapper_of(ContractSet.load(tmp_path, type_prefix="com.example"), here)
    mapped = mapper.map(created(here, ("1", "someday")), ORIGIN)
    assert isinstance(mapped, Breach)
    assert mapped.reason == "/after/v: cannot be read as date"
    assert data_of(mapped, Breach)["after"]["v"] == "someday"


@pytest.mark.parametrize(
    ("image", "before", "named"),
    [
        (BeforeImage.NONE, None, "none"),
        (BeforeImage.KEY, ("1", None), "key"),
        (BeforeImage.FULL, ("2", "old"), "full"),
    ],
)
def test_each_event_names_its_before_image(
    tmp_path: Path, image: BeforeImage, before: Row | None, named: str
) -> None:
    here = shape(v=TEXT)
    mapper = mapper_of(contract(tmp_path, v="string"), here)
    change = RowChange(ChangeKind.UPDATED, here, before, image, ("2", "new"))
    event = mapper.map(change, ORIGIN)
    assert isinstance(event, Event)
    assert orjson.loads(event.payload)["beforeimage"] == named


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        ({"type": "array"}, "'items' is missing"),
        ({"type": "string", "items": "string"}, "'items' is not for type 'string'"),
        (
            {"type": "array", "items": "strin"},
            "items: unknown type 'strin'; did you mean 'string'?",
        ),
        ({"type": "array", "items": "json"}, "cannot be told from further dimensions"),
        ({"type": "array", "items": {"type": "text"}}, "needs 'of'"),
        ({"type": "array", "items": {"typ": "text"}}, "a type is a name or {type: …}"),
        ({"type": "array", "items": "string", "delimiter": ";;"}, "'delimiter' is one character"),
        ({"type": "object"}, "'fields' is missing"),
        ({"type": "object", "fields": {"a b": "string"}}, "attribute 'a b' must have the form"),
        ({"type": "object", "fields": []}, "'fields' must name the attributes"),
        ({"type": "boolean", "as": "string"}, "a field of type 'boolean' has no 'as'"),
        ({"type": "integer", "as": "text"}, "'as' of type 'integer' must be one of number, string"),
        ({"type": "string", "of": "x"}, "'of' belongs to 'text'"),
        ({"type": "integer", "protect": "hash"}, "a protected field has type 'string'"),
        ({"type": "string", "protect": "rot13"}, "'protect' is one of mask, hash, token"),
        ({"type": "string", "protect": {"kind": "mask", "scope": "x"}}, "has no key 'scope'"),
        ({"type": "string", "protect": {"kind": "mask", "keep_last": 99}}, "a number from 0 to 8"),
        ({"type": "string", "protect": "mask", "codes": {"a": "b"}}, "cannot stand beside"),
    ],
)
def test_a_broken_type_is_named(tmp_path: Path, tree: Any, said: str) -> None:
    with pytest.raises(AssertionError) as caught:
        contract(tmp_path, v=tree)
    assert said in str(caught.value).replace('\\"', '"').replace("\\'", "'")


def test_refill_needs_a_place_to_be_told(tmp_path: Path) -> None:
    contract(tmp_path, members=False, v="string")
    path = tmp_path / "shop.thing" / "1.0" / "mapping.yaml"
    path.write_text(path.read_text() + "refill: true\nkey_change: replace\n")
    assert any("'key_change' must be one of update, delete_insert" in p for p in check(tmp_path))
    path.write_text(path.read_text().replace("key_change: replace\n", ""))
    assert any("'refill' needs the property 'refilled'" in problem for problem in check(tmp_path))
