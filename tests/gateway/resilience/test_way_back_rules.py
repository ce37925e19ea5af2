"""When legacy may be asked in modern's place, as the journal stands."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from bridge.gateway.dual.admission import Admission
from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.ports import Behind, LaneState
from bridge.gateway.dual.way_back import WayBack
from bridge.gateway.dual.write_tokens import Written
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.sections.protection import Fallback, ProtectionRules
from bridge.gateway.routes.table import RoutingTable
from bridge.model.errors import StorageUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import GroupState, Side, Stage
from bridge.model.write import WriteState
from tests.gateway.http.rig import BOTH, KEY, route
from tests.gateway.rewriting.test_on_the_wire import NoIds
from tests.waiting import RecordingObserver

READS = ProtectionRules(fallback=Fallback.READS)
STALE = ProtectionRules(fallback=Fallback.STALE)


class Book:
    """What a journal says, as a test has it."""

    def __init__(self) -> None:
        self.lane = LaneState()
        self.group = Behind(unreplayed=False, open=False)
        self.write: WriteState | None = None
        self.away = False

    def lane_state(self, group: str, lane: str) -> LaneState:
        """Return the same of each lane."""
        if self.away:
            raise StorageUnavailable("it is away")
        return self.lane

    def behind(self, group: str, side: Side) -> Behind:
        """Return the same of each group."""
        if self.away:
            raise StorageUnavailable("it is away")
        return self.group

    def state_of(self, intent_id: str) -> WriteState | None:
        """Return the same of each write."""
        return self.write


class OfEverything(Written):
    """A write of a client that every read of its must show."""

    def concerns(self, group: str, lane: str | None) -> bool:
        """It does."""
        return True


class Legacy:
    """An `Upstream` that answers."""

    async def exchange(self, request: HttpRequest, *, timeout_ms: int) -> HttpResponse:
        """Answer so that a cache would keep it."""
        headers = ((b"Cache-Control", b"max-age=60"),)
        return HttpResponse(status=200, reason=b"OK", headers=headers, body=b"{}")


def decided(path: str, stage: Stage, rules: ProtectionRules, **changes: Any) -> Decision:
    """Return the decision by which modern is asked."""
    key = KEY if "{id}" in path else None
    read = route("read", path, b"GET", upstreams=BOTH, key=key, protection=rules, **changes)
    state = GroupState(group="app", stage=stage, epoch=3, lanes_held=False, share_percent=100.0)
    target = path.replace("{id}", "7").encode()
    decision = RoutingTable.build([read], [state], 1).decide(b"GET", None, target)
    assert isinstance(decision, Decision)
    return decision if decision.authority is Side.MODERN else decision.elsewhere()


def asks(
    book: Book,
    decision: Decision,
    *,
    method: bytes = b"GET",
    body: bytes = b"",
    brought: Sequence[Written] = (),
) -> HttpResponse | None:
    """Return legacy's answer; None when it is not asked."""
    way = WayBack(
        journal=book,
        admission=Admission(NoIds()),
        forwarder=Forwarder(NoIds(), {"legacy": Legacy()}),
        brought=lambda *_: brought,
        observer=RecordingObserver(),
    )
    asking = way.instead(
        decision, HttpRequest(method=method, target=b"/a/7", headers=(), body=body), 0.0
    )
    return None if asking is None else asyncio.run(asking())


@pytest.mark.parametrize(
    ("stage", "lane", "asked"),
    [
        (Stage.MODERN, LaneState(), True),
        (Stage.MODERN, LaneState(unreplayed_to=Side.LEGACY), False),
        (Stage.MODERN, LaneState(unreplayed_to=Side.LEGACY, parked=True), False),
        (Stage.MODERN, LaneState(in_flight="w"), False),
        (Stage.MODERN, LaneState(in_flight="w", in_doubt=True), False),
        (Stage.MODERN, LaneState(unreplayed_to=Side.MODERN), True),
        # Legacy is the authority: what runs there, and what modern lacks, is no matter.
        (Stage.CANARY, LaneState(in_flight="w"), True),
        (Stage.CANARY, LaneState(unreplayed_to=Side.MODERN), True),
        (Stage.CANARY, LaneState(unreplayed_to=Side.LEGACY), False),
    ],
)
def test_a_key_is_read_on_legacy_when_nothing_of_it_is_on_its_way(
    stage: Stage, lane: LaneState, asked: bool
) -> None:
    book = Book()
    book.lane = lane
    book.group = Behind(unreplayed=True, open=True)
    answer = asks(book, decided("/a/{id}", stage, STALE))
    assert (answer is not None) is asked
    if answer is not None:
        assert answer.header(b"legacy-bridge-fallback") == b"legacy"
        assert answer.header(b"cache-control") == b"max-age=60"


@pytest.mark.parametrize(
    ("rules", "group", "mark"),
    [
        (READS, Behind(unreplayed=False, open=False), b"legacy"),
        (READS, Behind(unreplayed=True, open=False), None),
        (READS, Behind(unreplayed=False, open=True), None),
        (STALE, Behind(unreplayed=False, open=False), b"legacy"),
        (STALE, Behind(unreplayed=True, open=False), b"legacy;may-lag"),
        (STALE, Behind(unreplayed=False, open=True), b"legacy;may-lag"),
    ],
)
def test_a_read_without_a_key_needs_that_of_the_whole_group(
    rules: ProtectionRules, group: Behind, mark: bytes | None
) -> None:
    book = Book()
    book.group = group
    answer = asks(book, decided("/a", Stage.MODERN, rules))
    assert (None if answer is None else answer.header(b"legacy-bridge-fallback")) == mark
    if answer is not None:
        kept = b"no-store" if mark == b"legacy;may-lag" else b"max-age=60"
        assert answer.header(b"cache-control") == kept


def test_what_is_not_known_or_no_read_is_not_asked() -> None:
    book = Book()
    decision = decided("/a/{id}", Stage.MODERN, READS)
    assert asks(book, decision) is not None
    assert asks(book, decision, method=b"POST") is None
    assert asks(book, decision, body=b"x") is None
    assert asks(book, decision._replace(forced=True)) is None
    assert asks(book, decided("/a/{id}", Stage.MODERN, ProtectionRules())) is None
    mine = OfEverything(0, Side.MODERN, b"", b"", "w")
    assert asks(book, decision, brought=[mine]) is None
    book.write = WriteState.DONE
    assert asks(book, decision, brought=[mine]) is not None
    book.away = True
    assert asks(book, decision) is None


@pytest.mark.parametrize("stage", [Stage.LEGACY, Stage.COMPLETE])
def test_no_way_back_is_built_where_there_is_none(stage: Stage) -> None:
    read = route("read", "/a", b"GET", upstreams=BOTH, protection=READS)
    state = GroupState(group="app", stage=stage, epoch=3, lanes_held=False)
    decision = RoutingTable.build([read], [state], 1).decide(b"GET", None, b"/a")
    assert isinstance(decision, Decision)
    assert decision.way_back is None
    assert not decision.special  # It is forwarded as any other.


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"writes": True}, "writes"),
        ({"upstreams": {Side.LEGACY: "legacy"}}, "no two sides"),
        ({"methods": (b"POST",)}, "neither GET nor HEAD"),
    ],
)
def test_a_fallback_that_cannot_be_is_refused(changes: dict[str, Any], why: str) -> None:
    given = {"upstreams": BOTH, "methods": (b"GET",)} | changes
    methods = given.pop("methods")
    with pytest.raises(ValueError, match=why):
        READS.refuse_misfit(route("read", "/a", *methods, **given))
    late = ProtectionRules(fallback_after_ms=5)
    with pytest.raises(ValueError, match="no 'fallback: reads'"):
        late.refuse_misfit(route("read", "/a", b"GET", upstreams=BOTH))
