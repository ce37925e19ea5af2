"""Our spans as the OpenTelemetry SDK's; imported only where spans are exported."""

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from bridge.gateway.tracing.span import Span

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Converter:
    """Makes them, all of one resource and scope."""

    def __init__(self, resource: dict[str, str], scope: str) -> None:
        self._resource = Resource(resource)
        self._scope = InstrumentationScope(scope)

    def readable(self, span: Span) -> ReadableSpan:
        """Return `span` as the SDK's exporter takes it."""
        parent = None
        if span.parent_id:
            remote = span.parent_is_remote
            parent = SpanContext(span.trace_id, span.parent_id, remote, _SAMPLED)
        links: tuple[Link, ...] = ()
        if span.linked_id:
            links = (Link(SpanContext(span.trace_id, span.linked_id, True, _SAMPLED)),)
        return ReadableSpan(
            span.name,
            context=SpanContext(span.trace_id, span.span_id, False, _SAMPLED),
            parent=parent,
            resource=self._resource,
            attributes=span.attributes,
            links=links,
            kind=SpanKind[span.kind.name],
            status=Status(StatusCode.ERROR if span.failed else StatusCode.UNSET),
            start_time=span.began_ns,
            end_time=span.ended_ns,
            instrumentation_scope=self._scope,
        )
