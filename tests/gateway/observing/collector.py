"""A collector: takes OTLP over HTTP on a real socket, and decodes it by the protocol's own code."""

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as SentSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.waiting import wait_until


class Received(NamedTuple):
    """One span as it came."""

    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    linked: list[str]
    failed: bool
    began_ns: int
    ended_ns: int
    service: str


class Collector:
    """Receives spans; `status` is what it answers, after `gate` is set."""

    def __init__(self) -> None:
        self.status = 200
        self.gate = threading.Event()
        self.gate.set()
        self.asked = 0
        self.raw = b""
        """Everything that was sent, one after the other."""
        self.headers: dict[str, str] = {}
        self._spans: list[Received] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.take(self.path, dict(self.headers), body)
                outer.gate.wait(30)
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Decode one request."""
        assert path == "/v1/traces", path
        self.asked += 1
        self.headers = headers
        if headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.raw += body
        if self.status != 200:
            return
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            about = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self._spans += [_received(span, about["service.name"]) for span in scope.spans]

    def spans(self) -> list[Received]:
        """Return what came so far."""
        return list(self._spans)

    def wait_for(self, wanted: Callable[[list[Received]], bool]) -> list[Received]:
        """Wait until what came is as wanted; return it."""
        return wait_until(
            lambda: (spans := self.spans()) and wanted(spans) and spans, 20, "the spans"
        ) or []  # fmt: skip


def _received(span: SentSpan, service: str) -> Received:
    return Received(
        name=span.name,
        kind=SentSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        attributes={each.key: _value(each.value) for each in span.attributes},
        linked=[link.span_id.hex() for link in span.links],
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        began_ns=span.start_time_unix_nano,
        ended_ns=span.end_time_unix_nano,
        service=service,
    )


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None
