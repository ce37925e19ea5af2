"""The answers that the gateway gives itself: no route takes a request, or no upstream answers.

They are problem+json with a marker field (see `http.problems`), so that nobody takes them for an
upstream's.
"""

from typing import Final

from bridge.gateway.http.problems import problem
from bridge.gateway.plane.handling import SAFE
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.table import Refusal
from bridge.gateway.upstream_ports import Failure, FailureKind
from bridge.model.http import HttpResponse

_STATUS: Final = {
    FailureKind.UNREACHABLE: 502,
    FailureKind.CONNECT_TIMEOUT: 504,
    FailureKind.BUSY: 503,
    FailureKind.LOST: 502,
    FailureKind.MALFORMED: 502,
}


def refused_answer(refusal: Refusal) -> HttpResponse:
    """Say why the route table has no decision."""
    allow = ((b"Allow", b", ".join(refusal.allow)),) if refusal.allow else ()
    return problem(refusal.status, refusal.code, refusal.detail, allow)


def failed_answer(failure: Failure) -> HttpResponse:
    """Say why there is no answer."""
    wait = (b"Retry-After", b"%d" % failure.retry_after_s)
    headers = (wait,) if failure.kind is FailureKind.BUSY else ()
    code = f"upstream-{failure.kind.value}"
    return problem(_STATUS[failure.kind], code, failure.detail, headers)


def late_answer(decision: Decision, *, sent: bool, whole: bool, method: bytes) -> HttpResponse:
    """Say that no connection (not `sent`) or no answer came in time; `whole`: in the total."""
    phases = decision.route.phases
    limit_s = phases.first_byte_s if sent else phases.connect_s
    if whole or limit_s is None:
        limit_s = phases.total_s
    within = "the time that its caller has" if limit_s is None else f"{limit_s * 1000:.0f} ms"
    what = "no answer" if sent else "no connection"
    may = "; it may have been executed" if sent and method not in SAFE else ""
    detail = f"{what} from upstream {decision.upstream!r} within {within}{may}"
    return problem(504, "upstream-timeout", detail)


def unasked_switch(upstream: str) -> HttpResponse:
    """Say that the upstream left HTTP without being asked to."""
    return problem(502, "upstream-malformed", f"upstream {upstream!r} switched protocols unasked")


def lost_answer(upstream: str, status: int) -> HttpResponse:
    """Say that an answer is declared to be none, and nobody else has a better one."""
    return problem(502, "upstream-failed", f"upstream {upstream!r} answered {status}")


def internal_answer() -> HttpResponse:
    """Say that we failed ourselves."""
    return problem(500, "internal", "the gateway failed")
