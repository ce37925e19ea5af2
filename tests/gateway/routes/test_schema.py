"""The JSON Schema of route files: current, in the files, and saying what the loader says."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from bridge.cli.route_reference import reference
from bridge.cli.routes import schema

PROJECT = Path(__file__).parents[3]
SCHEMA = PROJECT / "routes" / "schema.json"
KEYS = PROJECT / "docs" / "route-keys.md"
FILES = sorted((PROJECT / "routes").glob("*.yaml"))


def test_the_committed_schema_is_current() -> None:
    assert json.loads(SCHEMA.read_text()) == schema(), (
        "write it anew: legacy-bridge routes schema > routes/schema.json"
    )


def test_the_table_of_keys_is_current() -> None:
    assert KEYS.read_text() == reference(schema()), (
        "write it anew: legacy-bridge routes schema --markdown > docs/route-keys.md"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_demos_files_name_it_and_fit_it(path: Path) -> None:
    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    jsonschema_rs.validator_for(schema()).validate(yaml.safe_load(text))


GOOD: dict[str, Any] = {
    "group": "orders",
    "sides": {"legacy": "app"},
    "defaults": {"timeout_ms": 100},
    "routes": [
        {
            "id": "read",
            "path": "/orders/{id}",
            "headers": {"X-Version": "2", "X-Beta": {"present": False}},
            "key": {"path": "id"},
        }
    ],
}


def test_an_editor_is_told_what_is_wrong() -> None:
    validator = jsonschema_rs.validator_for(schema())
    assert validator.is_valid(GOOD)
    for off in ("off", False):  # YAML 1.2 and 1.1 read the same word differently.
        assert validator.is_valid(GOOD | {"routes": [{**GOOD["routes"][0], "timeouts": off}]})
    route = GOOD["routes"][0]
    for wrong in (
        {"grup": "orders"},
        {"sides": {"old": "app"}},
        {"routes": [{**route, "pth": "/x"}]},
        {"routes": [{**route, "key": {"jsn": "/x"}}]},
        {"routes": [{**route, "timeout_ms": 0}]},
        {"routes": [{**route, "headers": {"X-Version": {"is": "2"}}}]},
        {"routes": [{**route, "id": "A"}]},
    ):
        assert not validator.is_valid(GOOD | wrong), wrong


def test_every_key_is_described() -> None:
    """What an editor shows beside a key is its docstring: one without is a riddle."""
    definitions = schema()["$defs"]
    silent = [
        f"{name}.{key}"
        for name in ("RouteEntry", "RouteSections", "KeyEntry", "IdsEntry", "HeaderRules")
        for key, field in definitions[name]["properties"].items()
        if not field.get("description")
    ]
    assert silent == []
