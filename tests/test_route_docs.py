"""The guide for writing routes: every example loads, and its samples are true."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.gateway.routes.loader import read_group
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.translation.samples import failures

PAGES = ("routes.md", "operators.md")
DOCS = Path(__file__).parents[1] / "docs"
UPSTREAMS = ("legacy-app", "modern-orders")


def _examples() -> list[Any]:
    found = []
    for page in PAGES:
        text = (DOCS / page).read_text()
        for match in re.finditer(r"```yaml\n(.*?)```", text, re.DOTALL):
            line = text[: match.start()].count("\n") + 2
            block = match.group(1)
            if re.search(r"^group: [a-z]", block, re.MULTILINE) and "\nroutes:" in block:
                found.append(pytest.param(block, id=f"{page}:{line}"))
    return found


@pytest.mark.parametrize("text", _examples())
def test_every_example_loads_and_keeps_its_word(text: str) -> None:
    routes = read_group("example.yaml", yaml.safe_load(text), UPSTREAMS)
    table = RoutingTable.build(routes, (), 0)
    for route in routes:
        for sample in route.samples:
            assert failures(route, sample, table) == []


def test_every_block_of_the_guide_is_an_example() -> None:
    blocks = (DOCS / "routes.md").read_text().count("```yaml")
    assert blocks == sum("routes.md" in str(example.id) for example in _examples())
