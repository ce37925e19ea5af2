"""Counts of copies, from what a worker notes to what operators see."""

import logging
from pathlib import Path

from bridge.gateway.shadow.counts import RouteCounts
from bridge.runtime.watching.metrics import render_metrics
from bridge.runtime.watching.run_files import read_roles
from bridge.runtime.watching.shadow_counts import copies_by_route
from bridge.runtime.watching.telemetry import RunFileObserver


def noted(run_dir: Path, worker: str) -> None:
    """Write a run file as a worker does that copied ten requests."""
    counts = RouteCounts()
    counts.seen, counts.copied = 40, 10
    counts.shed["rate"] = 30
    counts.uncompared["copy_timeout"] = 2
    counts.compared.update({"identical": 5, "mismatch": 2, "flapping": 1})
    counts.orders["together", True] = 5
    counts.document.update({"checked.modern": 9, "drift.modern.content-type": 3, "skipped.time": 1})
    counts.skewed("after", 7.0)
    for milliseconds in (1.5, 1.5, 700.0, 99_999.0):
        counts.took("legacy", "all", milliseconds)
    observer = RunFileObserver(worker, run_dir, logging.getLogger("test"))
    observer.note("shadow", **{f"order-read.{name}": n for name, n in counts.facts().items()})
    observer.note("shadow_held", pairs=3, held_bytes=4_096, backlog=1)
    observer.write()


def test_status_adds_the_workers_up(tmp_path: Path) -> None:
    noted(tmp_path, "gateway:0")
    noted(tmp_path, "gateway:1")
    (route,) = copies_by_route(read_roles(tmp_path))
    assert route == {
        "route": "order-read",
        "seen": 80,
        "copied": 20,
        "compared": 16,
        "differed": 4,
        "flapping": 2,
        "shed": {"rate": 60},
        "uncompared": {"copy_timeout": 4},
    }


def test_metrics_tell_reason_side_and_cohort(tmp_path: Path) -> None:
    noted(tmp_path, "gateway:0")
    text = render_metrics(tmp_path).decode()
    labels = 'role="gateway:0",route="order-read"'
    answers = f'{labels},side="legacy"'.replace("role", 'cohort="all",role', 1)
    for line in (
        'legacy_bridge_shadow_held_held_bytes{role="gateway:0"} 4096.0',
        f"legacy_bridge_shadow_seen_total{{{labels}}} 40.0",
        f"legacy_bridge_shadow_copied_total{{{labels}}} 10.0",
        'legacy_bridge_shadow_shed_total{reason="rate",' + labels + "} 30.0",
        'legacy_bridge_shadow_uncompared_total{reason="copy_timeout",' + labels + "} 2.0",
        'legacy_bridge_shadow_compared_total{outcome="mismatch",' + labels + "} 2.0",
        f'legacy_bridge_document_checked_total{{who="modern",{labels}}} 9.0',
        f'legacy_bridge_document_drift_total{{rule="content-type",who="modern",{labels}}} 3.0',
        f'legacy_bridge_document_skipped_total{{reason="time",{labels}}} 1.0',
        f'legacy_bridge_shadow_orders_total{{order="together",outcome="same",{labels}}} 5.0',
        f'legacy_bridge_shadow_skew_milliseconds_total{{order="after",{labels}}} 7.0',
        f"legacy_bridge_shadow_answer_seconds_count{{{answers}}} 4.0",
    ):
        assert sorted_labels(line) in map(sorted_labels, text.splitlines())
    buckets = [line for line in text.splitlines() if "answer_seconds_bucket" in line]
    assert [line.rpartition(" ")[2] for line in buckets][-2:] == ["3.0", "4.0"]


def sorted_labels(line: str) -> tuple[str, tuple[str, ...], str]:
    """Return a sample's line without the order of its labels."""
    name, _, rest = line.partition("{")
    labels, _, value = rest.partition("}")
    return name, tuple(sorted(labels.split(","))), value
