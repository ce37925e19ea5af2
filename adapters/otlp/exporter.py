"""Spans to an OpenTelemetry collector: OTLP over HTTP, by the OpenTelemetry SDK's own exporter.

Whoever makes spans is never held up: they go into a bounded queue, and what finds no room there is
counted. A thread sends them, in batches. A collector that is down, slow or answers with errors
costs the spans that were to be sent meanwhile, a count, and a line in the log once a minute.

Needs the extra `tracing`; the packages are imported by `OtlpExporter` itself.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from bridge.gateway.tracing.span import Span
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

PATH: Final = "/v1/traces"
# About 1 kB each: a second of everything that a busy worker samples.
QUEUE_MAX: Final = 4_096
# As the SDK's own processor has it; a request of some 200 kB.
BATCH_MAX: Final = 512
SEND_EVERY_S: Final = 1.0
# A collector stands near; the thread waits for it, with the queue behind it.
TIMEOUT_S: Final = 5.0
# A worker that stops has told its clients already; its supervisor waits 15 s in all.
FLUSH_S: Final = 2.0
COMPLAIN_EVERY_S: Final = 60.0
_SCOPE: Final = "legacy-bridge.gateway"


class OtlpExporter:
    """See `bridge.gateway.tracing.span.SpanSink`."""

    def __init__(
        self,
        endpoint: str,
        observer: Observer,
        *,
        resource: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        queue_max: int = QUEUE_MAX,
        timeout_s: float = TIMEOUT_S,
        send_every_s: float = SEND_EVERY_S,
    ) -> None:
        """`endpoint` is the collector's base URL; `resource` says whose spans these are.

        Raises:
            ConfigInvalid: the extra `tracing` is not installed.
        """
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            from adapters.otlp.readable_spans import Converter
        except ImportError as exc:
            raise ConfigInvalid(
                f"cannot export spans: package {exc.name!r} is missing;"
                " install legacy-bridge[tracing], or leave telemetry.otlp_endpoint out"
            ) from exc
        # It tells each failure and each of its own retries; we tell them once a minute.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        self._observer = observer
        self._queue: deque[Span] = deque()
        self._queue_max = queue_max
        self._left_out = 0
        self._send_every_s = send_every_s
        self._converter = Converter(dict(resource), _SCOPE)
        url = endpoint.rstrip("/") + PATH
        self._exporter: Any = OTLPSpanExporter(url, headers=dict(headers or {}), timeout=timeout_s)
        self._unsent = 0
        self._complained_at = -COMPLAIN_EVERY_S
        self._news = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="spans", daemon=True)
        self._thread.start()

    def take(self, span: Span) -> None:
        """Queue it, or count that there was no room."""
        if len(self._queue) >= self._queue_max:
            self._left_out += 1
            return
        self._queue.append(span)
        if len(self._queue) == BATCH_MAX:
            self._news.set()

    def close(self, within_s: float = FLUSH_S) -> None:
        """Send what is queued, for so long at most; what is left then is counted as unsent."""
        self._stopping = True
        self._news.set()
        self._thread.join(within_s)
        # Ends its waiting between two tries, should it be there.
        self._exporter.shutdown()
        left = len(self._batch(self._queue_max))
        if left:
            self._failed(left)
        self._tell_left_out()

    def _run(self) -> None:
        while True:
            self._news.wait(self._send_every_s)
            self._news.clear()
            stopping = self._stopping
            while batch := self._batch(BATCH_MAX):
                self._send(batch)
            self._tell_left_out()
            if stopping:
                return

    def _batch(self, count_max: int) -> list[Span]:
        """Return what is queued; two threads may ask when the exporter is closed."""
        found: list[Span] = []
        with suppress(IndexError):
            while len(found) < count_max:
                found.append(self._queue.popleft())
        return found

    def _send(self, spans: list[Span]) -> None:
        try:
            batch: list[ReadableSpan] = [self._converter.readable(span) for span in spans]
            result = self._exporter.export(batch)
            sent = result.name == "SUCCESS"
        except Exception as exc:
            # A thread that ended here would fill the queue for ever, without a word.
            self._observer.note("span_export_stumbled", error=type(exc).__name__)
            sent = False
        if sent:
            self._observer.note("spans_exported", spans=len(spans))
        else:
            self._failed(len(spans))

    def _failed(self, count: int) -> None:
        self._observer.note("spans_unsent", spans=count)
        self._unsent += count
        now = time.monotonic()
        if now - self._complained_at >= COMPLAIN_EVERY_S:
            self._complained_at = now
            self._observer.note("span_export_failed", unsent=self._unsent)
            self._unsent = 0

    def _tell_left_out(self) -> None:
        left_out, self._left_out = self._left_out, 0
        if left_out:
            self._observer.note("spans_left_out", spans=left_out)
