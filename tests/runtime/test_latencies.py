"""Latencies by route, stage and side: from a worker's histograms to metrics and quantiles."""

import logging
import random
import re
from bisect import bisect_left
from pathlib import Path

import pytest

from bridge.gateway.routes.timings import SETS_MAX, RouteTimes, Timings, read_times
from bridge.model.latency import BOUNDS_S, TOLD_S, Histogram
from bridge.runtime.watching.latencies import latencies_by_side
from bridge.runtime.watching.metrics import render_metrics
from bridge.runtime.watching.run_files import read_roles
from bridge.runtime.watching.telemetry import RunFileObserver


def observer_of(role: str, folder: Path) -> RunFileObserver:
    """Return what keeps the run file of a role."""
    return RunFileObserver(role, folder, logging.getLogger("test"))


def tell(timings: Timings, observer: RunFileObserver) -> None:
    """Tell all of it, as a worker does in ten parts."""
    for part in range(10):
        news = timings.news(part, 10)
        if news:
            observer.note("latency", **news)
    observer.write()


def values(text: str, name: str) -> dict[str, float]:
    """Return the samples of a metric by their labels."""
    found = re.findall(rf"^{name}(\{{[^}}]*\}}) (\S+)$", text, re.MULTILINE)
    return {labels: float(value) for labels, value in found}


def test_quantiles_are_true_to_a_tenth() -> None:
    chance = random.Random(7)
    for typical_s in (0.001, 0.02, 0.9):
        took = [typical_s * chance.lognormvariate(0, 0.6) for _ in range(20_000)]
        histogram = Histogram()
        for seconds in took:
            histogram.take(seconds)
        ordered = sorted(took)
        for share in (0.5, 0.95, 0.99):
            told = histogram.quantile_s(share)
            assert told == pytest.approx(ordered[int(share * len(took))], rel=0.1)


def test_what_is_beyond_every_bound_is_told_as_the_last_one() -> None:
    histogram = Histogram()
    assert histogram.quantile_s(0.5) is None
    histogram.take(1_000.0)
    assert histogram.quantile_s(0.5) == BOUNDS_S[-1]
    assert list(histogram.cumulative())[-1] == (60.0, 0)


def test_metrics_bounds_hold_what_they_say() -> None:
    histogram = Histogram()
    for seconds in (0.0004, 0.0005, 0.00051, 0.02, 59.0, 61.0):
        histogram.take(seconds)
    told = dict(histogram.cumulative())
    assert list(told) == list(TOLD_S)
    assert (told[0.0005], told[0.001], told[0.025], told[60.0]) == (2, 3, 4, 5)


def test_an_answer_in_one_piece_counts_as_both(tmp_path: Path) -> None:
    timings, observer = Timings(), observer_of("gateway:0", tmp_path)
    times = timings.of("orders.dual.legacy")
    times.answered(0.003)
    times.began(0.02)
    times.ended(4.0)
    times.waited("lane", 0.1)
    tell(timings, observer)
    text = render_metrics(tmp_path).decode()
    labels = '{cohort="",role="gateway:0",route="orders",side="legacy",stage="dual"}'
    assert values(text, "legacy_bridge_request_seconds_count")[labels] == 2
    assert values(text, "legacy_bridge_request_seconds_sum")[labels] == pytest.approx(4.003)
    assert values(text, "legacy_bridge_first_byte_seconds_sum")[labels] == pytest.approx(0.023)
    buckets = values(text, "legacy_bridge_request_seconds_bucket")
    assert buckets[labels.replace('",role', '",le="0.005",role')] == 1
    assert buckets[labels.replace('",role', '",le="+Inf",role')] == 2
    phases = values(text, "legacy_bridge_phase_seconds_count")
    assert phases[labels.replace('",role', '",phase="lane",role')] == 1


def test_workers_stand_for_themselves_in_metrics_and_together_in_status(tmp_path: Path) -> None:
    for worker, seconds in ((0, 0.001), (1, 0.1)):
        timings = Timings()
        for side, factor in (("legacy", 1), ("modern", 2.9)):
            for _ in range(10):
                timings.of(f"orders.canary.{side}").answered(seconds * factor)
        tell(timings, observer_of(f"gateway:{worker}", tmp_path))
    counts = values(render_metrics(tmp_path).decode(), "legacy_bridge_request_seconds_count")
    assert len(counts) == 4
    assert set(counts.values()) == {10.0}
    legacy, modern = latencies_by_side(read_roles(tmp_path))
    assert (legacy["side"], legacy["of"], legacy["count"]) == ("legacy", "requests", 20)
    assert legacy["p95_ms"] == pytest.approx(100, rel=0.1)
    assert modern["p95_ms"] == pytest.approx(290, rel=0.1)
    assert modern["first_byte_p95_ms"] == modern["p95_ms"]


def test_copies_stand_beside_what_clients_got(tmp_path: Path) -> None:
    observer, timings = observer_of("gateway:0", tmp_path), Timings()
    timings.of("orders.shadow.legacy").answered(0.004)
    took = {"orders.took.modern.all.le_50": 3, "orders.took.modern.all.count": 3}
    observer.note("shadow", **took)
    tell(timings, observer)
    live, copied = latencies_by_side(read_roles(tmp_path))
    assert (live["side"], live["of"]) == ("legacy", "requests")
    assert (copied["side"], copied["of"], copied["count"]) == ("modern", "compared", 3)
    assert 20 <= copied["p50_ms"] <= 50


def test_a_worker_that_starts_again_counts_from_nothing(tmp_path: Path) -> None:
    """Its own series falls to what it has counted itself, which is how a reset is known; nothing is
    summed up with what others count on."""
    for count in (9, 2):
        timings = Timings()
        for _ in range(count):
            timings.of("a.legacy.legacy").answered(0.01)
        tell(timings, observer_of("gateway:0", tmp_path))
        metrics = render_metrics(tmp_path).decode()
        assert set(values(metrics, "legacy_bridge_request_seconds_count").values()) == {count}


def test_only_what_has_grown_is_told_again() -> None:
    timings = Timings()
    timings.of("a.legacy.legacy").answered(0.01)
    timings.of("b.legacy.legacy")
    assert set(timings.news()) == {"a.legacy.legacy"}
    assert timings.news() == {}
    timings.of("a.legacy.legacy").ended(0.01)
    (text,) = timings.news().values()
    assert read_times(text)["whole"].count == 2


def test_labels_beyond_the_bound_share_one_set_for_each_side() -> None:
    timings = Timings(sets_max=2)
    held = [timings.of(f"{route}.dual.legacy") for route in "ab"]
    assert timings.of("c.dual.legacy") is timings.of("d.shadow.legacy")
    assert timings.of("c.dual.legacy").label == "other.other.legacy"
    assert timings.of("c.dual.legacy").on("modern") is timings.of("e.dual.modern")
    assert timings.of("a.dual.legacy") is held[0]


def test_a_run_file_stays_small(tmp_path: Path) -> None:
    """As large as it can get, it is some 400 kB a second for each worker."""
    timings, observer = Timings(), observer_of("gateway:0", tmp_path)
    chance = random.Random(1)
    for number in range(SETS_MAX):
        times = timings.of(f"a-route-with-a-long-name-{number}.canary.legacy")
        for _ in range(100):
            times.at_once[bisect_left(BOUNDS_S, chance.lognormvariate(-5, 1))] += 1_000_000
        times.at_once_s = 1.0
    tell(timings, observer)
    assert (tmp_path / "gateway.0.json").stat().st_size < 500_000


@pytest.mark.parametrize("text", ["", "[]", '{"whole": 1}', '{"whole": [1, [1, 2]]}', "nonsense"])
def test_what_cannot_be_read_is_left_out(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_times(text)
    observer = observer_of("gateway:0", tmp_path)
    observer.note("latency", **{"a.legacy.legacy": text, "short": "{}"})
    observer.write()
    assert not values(render_metrics(tmp_path).decode(), "legacy_bridge_request_seconds_count")


def test_times_of_another_side_and_of_a_cohort_are_found_by_name() -> None:
    timings = Timings()
    times = timings.of("a.dual.legacy.in")
    assert times.on("legacy") is times
    assert times.on("modern") is timings.of("a.dual.modern.in")
    cohort = timings.of("a.canary.legacy").within("in")
    assert cohort is timings.of("a.canary.legacy.in")
    assert RouteTimes("a.dual.legacy").within("in").label == "a.dual.legacy"
    assert RouteTimes("a.dual.legacy").on("modern").label == "a.dual.legacy"
