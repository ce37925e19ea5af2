"""What a route file may say of copies, and which requests a table has tapped."""

import itertools
from pathlib import Path

import pytest

from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.loader import load_routes
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.routes.table import RoutingTable
from bridge.model.errors import ConfigInvalid
from bridge.model.stage import GroupState, Stage
from tests.gateway.http.rig import KEY, route
from tests.gateway.shadow.rig import all_of

FILE = """
group: orders
sides: {legacy: legacy-app%s}
routes:
  - {id: order-read, methods: [GET], path: %s, shadow: {%s}}
"""
MODERN = ", modern: modern-app"


def loaded(folder: Path, rules: str, *, sides: str = MODERN, path: str = "/orders") -> ShadowRules:
    """Return the rules of the only route of a file."""
    (folder / "orders.yaml").write_text(FILE % (sides, path, rules))
    (found,) = load_routes(folder, ("legacy-app", "modern-app"))
    return found.shadow


def test_a_file_says_what_is_copied(tmp_path: Path) -> None:
    rules = loaded(
        tmp_path,
        "percent: 12.5, copies_per_s: 3, headers: {X-Tenant: test, Referer: null},"
        " path: {prefix: /api/, becomes: /v2/}",
    )
    assert (rules.percent, rules.later_percent, rules.copies_per_s) == (12.5, 1, 3)
    assert rules.headers == {"X-Tenant": "test", "Referer": None}
    assert rules.path is not None
    assert rules.path.becomes == "/v2/"


@pytest.mark.parametrize(
    ("rules", "sides", "words"),
    [
        ("percent: 101", MODERN, "shadow.percent"),
        ("persent: 10", MODERN, "percent"),
        ("copies_per_s: 0", MODERN, "is less than 1"),
        ("headers: {Host: b}", MODERN, "the gateway itself writes"),
        ("headers: {Legacy-Bridge-Shadow: x}", MODERN, "the gateway itself writes"),
        ('headers: {X: "a\\nb"}', MODERN, "printable ASCII"),
        ("headers: {'X Y': a}", MODERN, "no name of a header field"),
        ("headers: {X-A: a, x-a: b}", MODERN, "says more than once"),
        ("side_effect_free: true", "", "a modern side that is not there"),
        ("by_key: true", MODERN, "needs a '{name}' in the path, or a 'key'"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tmp_path: Path, rules: str, sides: str, words: str
) -> None:
    with pytest.raises(ConfigInvalid, match=r"route 'order-read'") as refused:
        loaded(tmp_path, rules, sides=sides)
    assert words in str(refused.value)


FREE = ShadowRules(side_effect_free=True)
NEVER = ShadowRules(percent=0, later_percent=0)


@pytest.mark.parametrize(
    ("rules", "writes", "tapped"),
    [
        (ShadowRules(), False, set(Stage) - {Stage.LEGACY, Stage.COMPLETE}),
        (ShadowRules(later_percent=0), False, {Stage.SHADOW}),
        (NEVER, False, set()),
        (ShadowRules(), True, set()),
        (FREE, True, {Stage.SHADOW}),
    ],
)  # fmt: skip
def test_the_table_says_at_which_stages_a_route_is_tapped(
    rules: ShadowRules, writes: bool, tapped: set[Stage]
) -> None:
    found = set()
    for stage, epoch in itertools.product(Stage, [0, 1]):
        state = GroupState(group="orders", stage=stage, epoch=epoch, lanes_held=False)
        changes = {"writes": True, "key": KEY, "methods": (b"PUT",)} if writes else {}
        given = all_of(rules, path="/orders/{id}", **changes)
        decision = RoutingTable.build([given], [state], 1).decide(b"PUT", b"a", b"/orders/7")
        assert isinstance(decision, Decision)
        if decision.tapped:
            found.add(stage)
    assert found == tapped


def test_a_group_with_one_side_is_never_tapped() -> None:
    state = GroupState(group="app", stage=Stage.LEGACY, epoch=0, lanes_held=False)
    decision = RoutingTable.build([route("r", "/x")], [state], 1).decide(b"GET", b"a", b"/x")
    assert isinstance(decision, Decision)
    assert not decision.tapped
