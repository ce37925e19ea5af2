"""The exporter against a collector that is there, down, slow, or answers with errors."""

import subprocess
import sys
import threading
import time

import pytest

from adapters.otlp.exporter import OtlpExporter
from bridge.gateway.tracing.span import Span, SpanKind
from tests.gateway.observing.collector import Collector
from tests.waiting import RecordingObserver, wait_until

RESOURCE = {"service.name": "test"}


def span(number: int = 1) -> Span:
    """Return one of a trace of its own."""
    return Span(
        "GET /x", SpanKind.SERVER, number, number, 0, False, 1_000, 2_000, {"http.route": "/x"}
    )


def counted(observer: RecordingObserver, name: str) -> float:
    """Return how many spans were noted under a name."""
    return sum(float(note.facts["spans"]) for note in observer.notes() if note.name == name)


def test_spans_arrive_as_they_were_made() -> None:
    observer = RecordingObserver()
    with Collector() as collector:
        headers = {"x-token": "secret"}
        exporter = OtlpExporter(
            collector.url, observer, resource=RESOURCE, send_every_s=0.05, headers=headers
        )
        exporter.take(span())
        exporter.take(
            Span(
                "GET", SpanKind.CLIENT, 1, 3, 1, True, 1_500, 1_600, {"n": 4, "b": True}, True, 1
            )
        )  # fmt: skip
        exporter.close()
        first, second = collector.spans()
        assert collector.headers["x-token"] == "secret"
    assert (first.kind, first.name, first.parent_id, first.linked) == ("SERVER", "GET /x", "", [])
    assert (first.began_ns, first.ended_ns, first.service) == (1_000, 2_000, "test")
    assert first.attributes == {"http.route": "/x"}
    assert second.trace_id == first.trace_id == f"{1:032x}"
    assert second.parent_id == first.span_id == f"{1:016x}"
    assert second.linked == [first.span_id]
    assert second.attributes == {"n": 4, "b": True}
    assert (first.failed, second.failed) == (False, True)
    assert counted(observer, "spans_exported") == 2


def test_a_collector_that_is_down_costs_counts_and_one_line_a_minute() -> None:
    with Collector() as collector:
        url = collector.url
    observer = RecordingObserver()
    exporter = OtlpExporter(url, observer, resource=RESOURCE, send_every_s=0.05, timeout_s=0.2)
    for number in range(1, 4):
        exporter.take(span(number))
        wait_until(lambda n=number: counted(observer, "spans_unsent") >= n, 10)  # type: ignore[misc]  # binds number now
    exporter.close()
    assert [note.name for note in observer.notes()].count("span_export_failed") == 1
    assert counted(observer, "spans_exported") == 0


def test_errors_of_a_collector_are_counted() -> None:
    observer = RecordingObserver()
    with Collector() as collector:
        collector.status = 500
        exporter = OtlpExporter(
            collector.url, observer, resource=RESOURCE, send_every_s=0.05, timeout_s=0.3
        )
        exporter.take(span())
        wait_until(lambda: counted(observer, "spans_unsent") == 1, 10)
        assert collector.asked >= 1
        # It recovers by itself.
        collector.status = 200
        exporter.take(span(2))
        wait_until(lambda: counted(observer, "spans_exported") == 1, 10)
        exporter.close()


def test_a_slow_collector_holds_nobody_up_and_the_queue_is_bounded() -> None:
    observer = RecordingObserver()
    with Collector() as collector:
        collector.gate.clear()
        exporter = OtlpExporter(
            collector.url, observer, resource=RESOURCE, send_every_s=0.05, queue_max=1_000
        )
        began = time.monotonic()
        for number in range(5_000):
            exporter.take(span(number + 1))
        assert time.monotonic() - began < 1.0
        wait_until(lambda: collector.asked, 10)
        collector.gate.set()
        exporter.close()
    left_out, sent = counted(observer, "spans_left_out"), counted(observer, "spans_exported")
    assert left_out + sent == 5_000
    assert 1_000 <= sent < 3_000


def test_a_stop_waits_for_its_bound_and_no_longer() -> None:
    observer = RecordingObserver()
    with Collector() as collector:
        collector.gate.clear()
        exporter = OtlpExporter(
            collector.url, observer, resource=RESOURCE, send_every_s=0.05, timeout_s=20
        )
        for number in range(600):
            exporter.take(span(number + 1))
        wait_until(lambda: collector.asked, 10)
        began = time.monotonic()
        exporter.close(within_s=0.3)
        assert 0.2 < time.monotonic() - began < 2.0
    assert counted(observer, "spans_unsent") == 600 - 512
    wait_until(lambda: all(thread.name != "spans" for thread in threading.enumerate()), 10)


@pytest.mark.parametrize("missing", ["opentelemetry.sdk", "opentelemetry.exporter"])
def test_a_missing_extra_is_named(missing: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
from adapters.otlp.exporter import OtlpExporter
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import SilentObserver
try:
    OtlpExporter("http://127.0.0.1:1", SilentObserver(), resource={{}})
except ConfigInvalid as exc:
    assert "legacy-bridge[tracing]" in str(exc), exc
else:
    raise AssertionError("no error")
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_nothing_of_it_is_imported_without_an_endpoint() -> None:
    code = """
import sys
import bridge.runtime.roles.gateway, bridge.runtime.roles.replay
found = [name for name in sys.modules if name.startswith("opentelemetry")]
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
