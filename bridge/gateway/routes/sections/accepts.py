"""What a route's upstreams understand beyond what every HTTP/1.1 server must: `accepts:`."""

from bridge.gateway.routes.sections.section import Flag, Section


class Accepts(Section):
    """What may be said to the upstreams of a route, because they understand it."""

    trailers: Flag = False
    """They read trailers of requests (RFC 9110 6.5): announced ones are passed on, not dropped."""
    idempotency_key: Flag = False
    """They carry a request with `Idempotency-Key` out once, however often it comes: a POST with one
    is sent again when its connection was closed under it."""
