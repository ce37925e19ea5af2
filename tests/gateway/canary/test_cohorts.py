"""Which side a key is read on: stable, in one step of a ramp, by either id, pinned meanwhile."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.dual.ports import IdPair, LaneState
from bridge.gateway.dual.read_sides import ReadSides, Reason
from bridge.gateway.routes.cohort_unit import undealt
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.routes.table import RoutingTable
from bridge.model.http import HttpRequest
from bridge.model.stage import GroupState, Side, Stage
from tests.gateway.canary.rig import (
    IDS,
    ROUTES,
    Book,
    a_key,
    canary,
    decided,
    reads,
    side_of,
)
from tests.gateway.http.rig import BOTH, route

RAMP = (1.0, 5.0, 25.0, 50.0, 100.0)
KEYS = st.text(st.characters(codec="ascii", categories=("Lu", "Ll", "Nd")), min_size=1)


def _read(book: Book, share: float, key: str, routes: tuple[Route, ...] = ROUTES) -> Side:
    sides = ReadSides(journal=book, ids=book)
    return side_of(sides, decided(routes, share, f"/orders/{key}".encode()))


@given(key=KEYS)
def test_a_key_moves_at_most_once_in_a_ramp_and_once_back(key: str) -> None:
    book = Book()
    sides = [_read(book, share, key) for share in RAMP]
    assert sides[-1] is Side.MODERN
    assert sum(before is not after for before, after in pairwise(sides)) <= 1
    back = [_read(book, share, key) for share in reversed(RAMP)]
    assert back == sides[::-1], "the way back is the same way"


def test_a_share_of_the_keys_is_read_on_modern_and_never_by_chance() -> None:
    book = Book()
    sides = ReadSides(journal=book, ids=book)

    def all_of(share: float) -> list[Side]:
        table = RoutingTable.build(ROUTES, [canary(share)], 1)
        found = [table.decide(b"GET", None, b"/orders/%d" % number) for number in range(1_000)]
        return [side_of(sides, one) for one in found if isinstance(one, Decision)]

    for share in RAMP:
        found = all_of(share)
        assert Counter(found)[Side.MODERN] / 10 == pytest.approx(share, abs=3.5)
        assert all_of(share) == found


def test_two_groups_are_dealt_by_themselves_unless_they_share_their_salt() -> None:
    def sides(group: str, salt: str) -> list[Side]:
        one = reads(f"{group}-read", "/orders/{id}", KeyPlace.PATH, "id", group=group)
        one = _salted(one, salt)
        return [_read(Book(), 50, str(number), (one,)) for number in range(400)]

    carts, orders = sides("carts", "carts"), sides("orders", "orders")
    same = sum(one is other for one, other in zip(carts, orders, strict=True))
    assert 140 < same < 260
    assert sides("carts", "orders") == orders


def _salted(one: Route, salt: str) -> Route:
    return reads(one.route_id, one.path, KeyPlace.PATH, "id", group=one.group, cohort_salt=salt)


def test_an_entity_is_in_one_cohort_by_either_sides_id() -> None:
    book = Book()
    pairs = [IdPair("order", str(n), f"m-{n}", f"order:{n}") for n in range(200)]
    book.pairs = {name: pair for pair in pairs for name in (pair.legacy_id, pair.modern_id) if name}
    for pair in pairs:
        assert pair.legacy_id
        assert pair.modern_id
        assert _read(book, 50, pair.legacy_id) is _read(book, 50, pair.modern_id)


@pytest.mark.parametrize(
    ("state", "inside", "outside"),
    [
        (LaneState(), Side.MODERN, Side.LEGACY),
        (LaneState(unreplayed_to=Side.MODERN), Side.LEGACY, Side.LEGACY),
        (LaneState(unreplayed_to=Side.MODERN, parked=True), Side.LEGACY, Side.LEGACY),
        (LaneState(in_flight="w"), Side.LEGACY, Side.LEGACY),
        (LaneState(in_flight="w", in_doubt=True), Side.LEGACY, Side.LEGACY),
        # After a roll back from modern: what was written there is there alone.
        (LaneState(unreplayed_to=Side.LEGACY), Side.MODERN, Side.MODERN),
        (LaneState(unreplayed_to=Side.LEGACY, in_flight="w"), Side.MODERN, Side.MODERN),
    ],
)
def test_a_key_with_writes_on_their_way_is_read_where_they_are(
    state: LaneState, inside: Side, outside: Side
) -> None:
    book = Book()
    one, other = a_key(50, inside=True), a_key(50, inside=False)
    book.lanes = {f"order:{one}": state, f"order:{other}": state}
    assert (_read(book, 50, one), _read(book, 50, other)) == (inside, outside)


def test_without_the_journal_reads_go_to_the_authority() -> None:
    book = Book()
    book.away = True
    sides = ReadSides(journal=book, ids=book)
    decision = decided(ROUTES, 50, f"/orders/{a_key(50, inside=True)}".encode())
    request = HttpRequest(method=b"GET", target=b"/", headers=(), body=b"")
    chosen = sides.chosen(decision, request)
    assert (chosen.decision.authority, chosen.reason) == (Side.LEGACY, Reason.JOURNAL_AWAY)


def test_reads_of_all_keys_and_writes_are_legacys_until_all_keys_are_moderns() -> None:
    book = Book()
    sides = ReadSides(journal=book, ids=book)
    for share in (0.01, 50.0, 99.99):
        assert decided(ROUTES, share, b"/orders").choice is None, "nothing is to be chosen"
        assert decided(ROUTES, share, b"/orders").authority is Side.LEGACY
    assert side_of(sides, decided(ROUTES, 100.0, b"/orders")) is Side.MODERN
    for share in (50.0, 100.0):
        write = decided(ROUTES, share, b"/orders/1", b"PUT")
        assert (write.authority, write.journalled, write.choice) == (Side.LEGACY, True, None)
        assert write.other is None


def test_no_other_stage_has_anything_to_choose() -> None:
    for stage in (Stage.LEGACY, Stage.SHADOW, Stage.DUAL, Stage.MODERN):
        state = GroupState(group="orders", stage=stage, epoch=4, lanes_held=False)
        table = RoutingTable.build(ROUTES, [state], 1)
        for target in (b"/orders/1", b"/mine", b"/orders"):
            decision = table.decide(b"GET", None, target)
            assert isinstance(decision, Decision)
            assert decision.choice is None


def test_both_decisions_are_made_with_the_table() -> None:
    decision = decided(ROUTES, 50.0, b"/orders/1")
    there = decision.elsewhere()
    assert (decision.upstream, there.upstream) == ("legacy", "modern")
    assert (decision.label, there.label) == ("by-path.canary.legacy", "by-path.canary.modern")
    assert there.params == decision.params == {"id": "1"}
    assert there.choice is None


def test_both_sides_are_compared_by_sample_the_other_one_is_the_copy() -> None:
    rules = ShadowRules(later_percent=10)
    one = reads("read", "/orders/{id}", KeyPlace.PATH, "id", shadow=rules)
    decision = decided((one,), 50.0, b"/orders/1")
    assert decision.tapped
    assert decision.elsewhere().tapped


def test_a_key_among_the_ids_of_the_path_is_the_groups() -> None:
    shipment = route(
        "shipment", "/customers/{customer}/orders/{order}", b"GET", group="orders", upstreams=BOTH,
        ids=IdRules(path={"customer": "customer", "order": "order"}), cohort_salt="orders",
    )  # fmt: skip
    customer = route(
        "customer", "/customers/{customer}", b"GET", group="orders", upstreams=BOTH,
        ids=IdRules(path={"customer": "customer"}), cohort_salt="orders",
    )  # fmt: skip
    routes = (*ROUTES, shipment, customer)
    book = Book()
    sides = ReadSides(journal=book, ids=book)
    inside = a_key(50, inside=True)
    found = decided(routes, 50, f"/customers/3/orders/{inside}".encode())
    assert side_of(sides, found) is Side.MODERN
    assert decided(routes, 50, b"/customers/3").choice is None, "it has not got the group's key"


def test_keys_of_two_kinds_in_one_group_are_refused_with_the_reason() -> None:
    assert undealt(ROUTES) == {}
    other = route(
        "mine", "/customers/{id}", b"PUT", group="orders", upstreams=BOTH, writes=True,
        key=KeyRule(place=KeyPlace.PATH, name="id", entity="customer"),
    )  # fmt: skip
    (why,) = undealt((*ROUTES, other)).values()
    assert "of several kinds ('customer', 'order')" in why
    assert "one thing's data would be read on two sides at once" in why
    elsewhere = route("other", "/c/{id}", b"GET", group="customers", upstreams=BOTH, ids=IDS)
    assert undealt((*ROUTES, elsewhere)) == {}
    assert decided((*ROUTES, other), 50.0, b"/orders/1").choice is None, "and nothing is dealt"


def test_a_group_stays_where_it_was_put() -> None:
    table = RoutingTable.build(ROUTES, [canary(0.5)], 1)
    decision = table.decide(b"GET", None, b"/orders/1")
    assert isinstance(decision, Decision)
    assert decision.choice is not None
    assert decision.choice.share_percent == 0.5
