"""A broken contract file is refused with a message that names it."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from bridge.contracts import ContractSet, check
from bridge.model.errors import ConfigInvalid
from tests.contracts.samples import COLUMNS, MAPPING, SCHEMA, relation, write_contract


def only_problem(directory: Path) -> str:
    problems = check(directory)
    assert len(problems) == 1, problems
    return problems[0]


def changed_schema(**row: Any) -> dict[str, Any]:
    schema = copy.deepcopy(SCHEMA)
    schema["$defs"]["row"] |= row
    return schema


def test_a_sound_folder_has_no_problems(tmp_path: Path) -> None:
    write_contract(tmp_path)
    (tmp_path / "README.md").write_text("about these contracts")
    assert check(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert only_problem(tmp_path / "none") == f"{tmp_path}/none: no such directory"


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    assert only_problem(tmp_path) == f"{tmp_path}: holds no contract"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("subject:", "subjct:", "unknown key 'subjct'; did you mean 'subject'?"),
        ("{column: note,", "{colum: note,", "unknown key 'colum'; did you mean 'column'?"),
        ("type: decimal", "type: decimals", "unknown type 'decimals'; did you mean 'decimal'?"),
        ("type: decimal", "type: money", "unknown type 'money'; known: string, integer"),
        ('version: "1.0"', "version: 1.0", "'version' must be a text, found float"),
        ('version: "1.0"', 'version: "1.1"', "version '1.1' stands in the folder of '1.0'"),
        ("subject: shop.order", "subject: shop.item", "subject 'shop.item' stands in the folder"),
        ("source: shop", "source: Shop!", "source 'Shop!' must have the form"),
        ("table: public.t_ord_hdr", "table: t_ord_hdr", "must have the form 'schema.table'"),
        ("key: [order_id]", "key: [ord_no]", "key field 'ord_no' is not among the fields"),
        ("key: [order_id]", "key: order_id", "'key' must be a list of field names"),
        ("key: [order_id]", "key: [attributes]", "is of type 'json', which cannot name an entity"),
        ("key: [order_id]\n", "", "key 'key' is missing"),
        ('"1": open', "1: open", "code 1 must be a text"),
        ('"Y": true', '"Y": "true"', "the meaning of code 'Y' is not of type 'boolean'"),
        ("type: integer}", "type: json, codes: {}}", "'codes' must hold at least one code"),
        ("type: json}", "type: json, codes: {a: b}}", "a field of type 'json' has no codes"),
        ("drop: [intrnl_memo]", "drop: [note]", "column 'note' is both mapped and dropped"),
        ("drop: [intrnl_memo]", "drop: intrnl_memo", "'drop' must be a list of column names"),
        ("  note:  ", "  no-te:", "a field's name has the form"),
        ("  note:  ", "  remark:", "field 'remark' is not among the properties of the schema's"),
        ("  note:  ", "  total:", "line 12: key 'total' is given twice"),
        ("fields:", "fields: [", "line 8"),
        ("  order_id:   {column: ord_no, type: integer}\n", "", "key field 'order_id'"),
    ],
)
def test_a_broken_mapping_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in MAPPING
    folder = write_contract(tmp_path, mapping=MAPPING.replace(old, new, 1))
    problems = [text for text in check(tmp_path) if said in text]
    assert problems, check(tmp_path)
    assert problems[0].startswith(f"{folder}/mapping.yaml:")


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ([], "expected an object"),
        ({**SCHEMA, "$schema": "http://json-schema.org/draft-07/schema#"}, "'$schema' must be"),
        ({**SCHEMA, "type": "objekt"}, "#/type: breaks rule 'anyOf' of the 2020-12 meta-schema"),
        ({**SCHEMA, "requird": []}, "#: unknown keyword 'requird'; did you mean 'required'?"),
        ({**SCHEMA, "not": {"colour": 1}}, "#/not: unknown keyword 'colour'; annotations begin"),
        ({**SCHEMA, "not": {"format": "email"}}, "format 'email' is not checked here; known: date"),
        (
            {**SCHEMA, "not": {"$ref": "https://example.com/x"}},
            "#/not/$ref: 'https://example.com/x' leads nowhere in this file",
        ),
        ({**SCHEMA, "not": {"$ref": "#/$defs/none"}}, "#/not/$ref: '#/$defs/none' leads nowhere"),
        ({**SCHEMA, "not": {"pattern": "(?<!"}}, "schema.json: "),
    ],
)
def test_a_broken_schema_is_named(tmp_path: Path, schema: Any, said: str) -> None:
    folder = write_contract(tmp_path, schema=schema)
    problem = only_problem(tmp_path)
    assert problem.startswith(f"{folder}/schema.json: ")
    assert said in problem


def test_a_schema_without_a_row_is_named(tmp_path: Path) -> None:
    write_contract(tmp_path, schema={"$schema": SCHEMA["$schema"], "required": ["key"]})
    assert "the schema has no '/properties/after'" in only_problem(tmp_path)


def test_a_required_field_that_nothing_fills_is_named(tmp_path: Path) -> None:
    properties = {**SCHEMA["$defs"]["row"]["properties"], "tax": {}}
    write_contract(tmp_path, schema=changed_schema(required=["tax"], properties=properties))
    assert "requires 'tax', which the mapping never fills" in only_problem(tmp_path)


def test_files_that_are_no_json_are_named(tmp_path: Path) -> None:
    folder = write_contract(tmp_path)
    (folder / "schema.json").write_text('{"a": 1, "a": 2}')
    assert only_problem(tmp_path) == f"{folder}/schema.json: not JSON: key 'a' is given twice"
    (folder / "schema.json").unlink()
    assert only_problem(tmp_path) == f"{folder}/schema.json: no such file"
    (folder / "schema.json").write_bytes(b"\xff")
    assert "utf-8" in only_problem(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("valid-wrong.json", '{"key": 1}', "/key: breaks rule 'type' at #/properties/key/type"),
        ("invalid-not.json", '{"key": null}', "the schema accepts it"),
        ("good.json", '{"key": null}', "examples are named valid-*.json or invalid-*.json"),
        ("valid-x.json", "{", "not JSON"),
    ],
)
def test_a_wrong_example_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    folder = write_contract(tmp_path)
    (folder / "examples" / name).write_text(text)
    problem = only_problem(tmp_path)
    assert problem.startswith(f"{folder}/examples/{name}: ")
    assert said in problem


def test_examples_must_be_there(tmp_path: Path) -> None:
    folder = write_contract(tmp_path)
    (folder / "examples" / "invalid-empty.json").unlink()
    assert only_problem(tmp_path) == f"{folder}/examples: needs at least one invalid-*.json"


def test_validators_that_disagree_are_named(tmp_path: Path) -> None:
    # Python's \\d takes any script's digits; the quick validator reads it as ECMA-262 does.
    row = {**SCHEMA["$defs"]["row"]["properties"], "note": {"pattern": "^\\d$"}}
    folder = write_contract(tmp_path, schema=changed_schema(properties=row))
    example = {"key": None, "after": {"order_id": 1, "status": "open", "note": "٣"}}
    (folder / "examples" / "valid-digit.json").write_text(json.dumps(example))
    assert "the two JSON Schema validators disagree" in only_problem(tmp_path)


def test_unknown_files_and_folder_names_are_named(tmp_path: Path) -> None:
    folder = write_contract(tmp_path)
    (folder / "mapping.yml").write_text("")
    (folder.parent / "v2").mkdir()
    (tmp_path / "Shop").mkdir()
    said = [text.removeprefix(f"{tmp_path}/") for text in check(tmp_path)]
    assert said[0].startswith("Shop: a subject has the form 'domain.entity', each word")
    assert said[1].startswith("shop.order/1.0/mapping.yml: unknown file; a contract has")
    assert said[2] == "shop.order/v2: a version has the form 'major.minor', for example '1.0'"


def test_one_table_is_published_once(tmp_path: Path) -> None:
    write_contract(tmp_path)
    write_contract(tmp_path, subject="shop.thing", mapping=MAPPING.replace("order\n", "thing\n"))
    assert only_problem(tmp_path) == (
        "table 'public.t_ord_hdr' of source 'shop' is mapped by both 'shop.order' version 1.0 "
        "and 'shop.thing' version 1.0; remove one mapping.yaml (its version stays for readers)"
    )


def test_load_raises_with_the_first_problems(tmp_path: Path) -> None:
    write_contract(tmp_path, schema={**SCHEMA, **{f"bad{n}": 1 for n in range(7)}})
    with pytest.raises(ConfigInvalid, match=r"cannot load contracts from .*; 2 more$"):
        ContractSet.load(tmp_path, type_prefix="com.example")


def test_a_wrong_type_prefix_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="event type prefix 'Com Example'"):
        ContractSet([], type_prefix="Com Example")


def test_the_newest_minor_publishes_and_the_older_one_is_still_read(tmp_path: Path) -> None:
    write_contract(tmp_path)
    newer = MAPPING.replace('"1.0"', '"1.10"')
    write_contract(tmp_path, version="1.10", mapping=newer)
    write_contract(tmp_path, version="1.9", mapping=None)
    contracts = ContractSet.load(tmp_path, type_prefix="com.example")
    assert contracts.tables("shop") == ["public.t_ord_hdr"]
    assert contracts.tables("other") == []
    mapper = contracts.mapper("shop", relation())
    assert mapper is not None
    assert mapper.version == "1.10"
    assert contracts.mapper("shop", relation(COLUMNS, table="other")) is None
    assert [c.version for c in contracts.contracts()] == ["1.0", "1.9", "1.10"]
    assert contracts.contract("shop.order", "1.9").mapping is None
    with pytest.raises(ConfigInvalid, match=r"known versions: 1\.0, 1\.10, 1\.9"):
        contracts.contract("shop.order", "2.0")


def test_validate_tells_readers_why(tmp_path: Path) -> None:
    write_contract(tmp_path)
    contracts = ContractSet.load(tmp_path, type_prefix="com.example")
    assert contracts.validate({"key": None}, "shop.order", "1.0") is None
    assert contracts.validate({"key": None}, "shop.order", "2.0") == (
        "contract 'shop.order' version '2.0' is not known here"
    )
    deep = {"key": None, "after": {"order_id": 1, "status": "open", "attributes": {"secret": 1}}}
    assert contracts.validate(deep, "shop.order", "1.0") is None
    assert contracts.validate({"a": 1, "key": 2}, "shop.order", "1.0") is not None
