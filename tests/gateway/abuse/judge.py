"""Judge what was seen of a case: the same for every proxy."""

from tests.gateway.abuse.case import SMUGGLED, Case, Seen


def wrongs(case: Case, seen: Seen) -> str:
    """Return what a proxy did wrong in a case, or "".

    Whatever a case allows, neither end may ever get bytes that can be read in two ways, and
    nothing that stands behind the end of a connection may be taken for a request.
    """
    if seen.request_faults:
        return f"sent the upstream what is no HTTP: {seen.request_faults[0]}"
    if any(request.target == SMUGGLED for request in seen.requests):
        return "took for a request what stands behind a broken message"
    if seen.answer_faults:
        return f"sent the client what is no HTTP: {seen.answer_faults[0]}"
    if seen.probe is not None and not seen.went_on:
        return f"the next request got {seen.probe.start!r} {seen.probe.body[:40]!r}"
    reasons = [allowed.why_not(seen) for allowed in case.allow]
    return "" if "" in reasons else "; or ".join(dict.fromkeys(reasons))
