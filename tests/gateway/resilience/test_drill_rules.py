"""What a drill may be, whom it touches, and what ends it in one process."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bridge.gateway.drill.drill import (
    Cohort,
    Drill,
    Fault,
    FaultKind,
    Touch,
    drill_from,
    duration_s,
    fault_of,
    header_of,
)
from bridge.gateway.drill.faulty_pool import DrilledPool
from bridge.gateway.drill.running import Call, Drills
from bridge.gateway.drill.tally import Tally, percentile_ms, summed, tally_from
from bridge.gateway.routes.route import Route
from bridge.gateway.upstream_ports import UpstreamConnection, UpstreamUser
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.model.stage import GroupState, Side, Stage
from bridge.runtime.wiring.drilling import DrillWatch
from bridge.storage.drill_files import KEPT_MAX, DrillFiles
from tests.gateway.http.rig import BOTH, KEY, route
from tests.waiting import RecordingObserver


def a_drill(**changes: Any) -> Drill:
    """Return a drill at modern of group `app` that began a second ago."""
    values: dict[str, Any] = {
        "drill_id": "d1",
        "group": "app",
        "route": None,
        "side": Side.MODERN,
        "fault": Fault(kind=FaultKind.REFUSE),
        "touches": frozenset({Touch.READS}),
        "cohort": Cohort(keys=frozenset({"7"})),
        "epoch": 3,
        "started_at": 1_000.0,
        "ends_at": 1_060.0,
        "actor": "ana",
        "ticket": "T-1",
    }
    return Drill(**(values | changes))


def test_faults_and_times_are_read_as_they_are_written() -> None:
    for text in ("delay:800ms", "status:503", "cut", "refuse"):
        assert str(fault_of(text)) == text
    assert str(fault_of("delay:2s")) == "delay:2000ms"
    assert [duration_s(text) for text in ("800ms", "90s", "5m", "1h")] == [0.8, 90, 300, 3_600]
    for text in ("delay", "delay:2m", "status:200", "status:5033", "cut:1", "", "refuse:now"):
        with pytest.raises(ConfigInvalid):
            fault_of(text)
    for text in ("5", "0s", "-1s", "1d", "s"):
        with pytest.raises(ConfigInvalid):
            duration_s(text)
    assert header_of("X-Drill: yes") == ("X-Drill", "yes")


def test_a_drill_is_read_back_as_it_was_stored() -> None:
    drill = a_drill(
        cohort=Cohort(keys=frozenset({"a"}), header=("X", "y"), share_percent=5.0),
        fault=Fault(kind=FaultKind.DELAY, delay_s=0.8),
        stopped_at=1_010.0,
    )
    assert drill_from(drill.as_json()) == drill


def test_a_cohort_knows_its_lines_and_keys() -> None:
    cohort = Cohort(keys=frozenset({"7", "order:8"}), header=("X-Drill", "yes"))
    assert cohort.has_line([b"Host: a", b"x-drill:  yes"])
    assert not cohort.has_line([b"X-Drill: no", b"X-Drilled: yes", b"X-Drill"])
    assert [cohort.has_key("s", lane) for lane in ("7", "order:7", "order:8", "9", None)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    half = Cohort(share_percent=50.0)
    assert 300 < sum(half.has_key("s", str(number)) for number in range(1_000)) < 700


def test_tallies_add_up() -> None:
    one = Tally(drill_id="d", process="worker-1")
    one.touched["reads"] = 3
    one.heard.update({"reads.2xx": 1, "reads.refused": 2, "replays.refused": 9})
    one.fell_back["2xx"] = 1
    for seconds in (0.004, 0.004, 0.3):
        one.note_took("answered", seconds)
    both = summed([one, tally_from(one.as_json())])
    assert (both["touched"], both["errors"]) == ({"reads": 6}, 2)
    assert both["latency_ms"] == {"p50": 5, "p99": 500, "max": 300.0}
    assert percentile_ms({}, 0.5) is None


class Idle:
    """A `NamedPool` that nobody uses."""

    name = "modern"
    host_line = b"Host: m"

    def take(self, *, checked: bool) -> UpstreamConnection | None:
        """Return nothing."""
        return None

    def order(self, user: UpstreamUser) -> None:
        """Never ends."""

    def cancel(self, user: UpstreamUser) -> None:
        """Nothing is ordered."""

    def may_repeat(self) -> bool:
        """Nothing is bounded."""
        return True

    def tick(self, now: float) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


class Groups:
    """Where group `app` stands."""

    def __init__(self) -> None:
        self.epoch = 3
        self.away = False

    def groups(self) -> Sequence[GroupState]:
        """Return it, if the store is there."""
        if self.away:
            raise StorageUnavailable("it is away")
        state = GroupState(group="app", stage=Stage.MODERN, epoch=self.epoch, lanes_held=False)
        return [state]


class Followed:
    """One process that follows drills, with a clock in a test's hand."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_001.0
        self.folder = folder / "drills"
        self.files = DrillFiles(self.folder)
        self.groups = Groups()
        self.observer = RecordingObserver()
        self.idle = Idle()
        self.pools: dict[str, Any] = {"modern": self.idle}
        self.routes = [route("read", "/a/{id}", b"GET", upstreams=BOTH, key=KEY)]
        self.drills = Drills(
            process="worker-1",
            lane_of=lambda *_: "7",
            breaker_of=lambda _: None,
            observer=self.observer,
            clock=lambda: self.now,
            wall=lambda: self.now,
        )
        self.watch = DrillWatch(
            self.files, self.groups, self.drills, self._all, self.pools, self.observer
        )

    def _all(self) -> Sequence[Route]:
        return self.routes

    def is_on(self) -> bool:
        """Whether anything is in the way of requests."""
        wrapped = isinstance(self.pools["modern"], DrilledPool)
        assert wrapped is self.drills.active
        assert wrapped or self.pools["modern"] is self.idle
        return wrapped


@pytest.fixture
def followed(tmp_path: Path) -> Followed:
    made = Followed(tmp_path)
    made.watch.look()
    assert not made.is_on()
    made.files.store(a_drill())
    made.watch.look()
    assert made.is_on()
    return made


def test_a_store_that_is_away_ends_every_drill_for_good(followed: Followed) -> None:
    followed.groups.away = True
    followed.watch.look()
    assert not followed.is_on()
    followed.groups.away = False
    followed.watch.look()
    assert not followed.is_on()
    (tally,) = followed.files.tallies("d1")
    assert tally.ended_why == "store-unreachable"


def test_files_that_cannot_be_read_end_every_drill(followed: Followed) -> None:
    (followed.folder / "d1.json").write_text("{")
    followed.watch.look()
    assert not followed.is_on()


def test_a_folder_that_is_gone_ends_every_drill(followed: Followed) -> None:
    shutil.rmtree(followed.folder)
    followed.watch.look()
    assert not followed.is_on()


def test_a_switch_ends_it_with_the_table(followed: Followed) -> None:
    followed.groups.epoch = 4
    followed.watch.review()
    assert not followed.is_on()


def test_it_ends_at_its_time_without_a_look(followed: Followed) -> None:
    call = Call(Touch.READS, followed.routes[0], "modern", lambda: "7", (), 3)
    assert followed.drills.meet(call) is not None
    followed.now = 1_060.0
    assert followed.drills.meet(call) is None
    followed.watch.look()
    assert not followed.is_on()


def test_a_stopped_one_ends_and_old_ones_are_forgotten(followed: Followed) -> None:
    followed.files.store(a_drill(stopped_at=1_002.0))
    followed.watch.look()
    assert not followed.is_on()
    for number in range(KEPT_MAX + 5):
        followed.files.store(a_drill(drill_id=f"e{number}", started_at=2_000.0 + number))
    assert len(followed.files.drills()) == KEPT_MAX
    assert not followed.files.tallies("d1")


def test_who_is_not_of_the_cohort_is_not_touched(followed: Followed) -> None:
    read = followed.routes[0]
    call = Call(Touch.READS, read, "modern", lambda: "7", (), 3)
    others = [
        call._replace(touch=Touch.WRITES),
        call._replace(touch=Touch.REPLAYS),
        call._replace(upstream="legacy"),
        call._replace(lane=lambda: "8"),
        call._replace(lane=lambda: None),
        call._replace(epoch=2),
        call._replace(route=route("read", "/a/{id}", b"GET", group="x", upstreams=BOTH)),
    ]
    assert followed.drills.meet(call) is not None
    assert [followed.drills.meet(other) for other in others] == [None] * len(others)
