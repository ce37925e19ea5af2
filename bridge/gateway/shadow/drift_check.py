"""Hold pairs to the documents that their route names, for a small part of the worker's time.

A check is done in one go, in the worker's turn for comparisons: some 40 microseconds for an answer
of a kilobyte, about a millisecond at most. What all checks take together is bounded; pairs that
come when the time is used up are counted and not looked at.
"""

import time
from collections.abc import Sequence
from typing import Final

from bridge.gateway.comparison.book import ComparisonBook
from bridge.gateway.comparison.contents import content_of
from bridge.gateway.comparison.drift import REQUEST
from bridge.gateway.openapi.checking import Fault, answer_faults, request_faults
from bridge.gateway.openapi.document import ApiDocument, Found
from bridge.gateway.plane.tap import note_stumble
from bridge.gateway.shadow.copied_request import request_of
from bridge.gateway.shadow.pair import Pair
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.observer import Observer

# Of the worker's time: some two hundred pairs of small answers in each second.
SHARE_MAX: Final = 0.02
# What may be used up at once, after a quiet time.
_BURST_S: Final = 0.02
# To read a larger answer takes milliseconds in one go.
_BYTES_MAX: Final = 256 * 1024


class DriftCheck:
    """The checks of one worker."""

    def __init__(
        self, book: ComparisonBook, observer: Observer, *, share: float = SHARE_MAX
    ) -> None:
        """`share` of the worker's time, from 0 to 1, is used at most."""
        self._book = book
        self._observer = observer
        self._share = share
        self._left_s = _BURST_S
        self._filled_at = time.monotonic()

    def has_time(self, pair: Pair) -> bool:
        """Whether a check may begin; what may not is counted."""
        now = time.monotonic()
        self._left_s = min(_BURST_S, self._left_s + (now - self._filled_at) * self._share)
        self._filled_at = now
        if self._left_s > 0:
            return True
        pair.shadowed.counts.document["skipped.time"] += 1
        return False

    def look(self, pair: Pair, first: HttpResponse, other: HttpResponse) -> None:
        """Check a request and both of its answers, the authority's `first`."""
        # The thread's own time: that another process had the core is no reason to check less.
        began = time.thread_time()
        try:
            self._look(pair, first, other)
        except Exception as exc:
            # A bug of ours must not cost the comparison.
            pair.shadowed.counts.document["skipped.failed"] += 1
            note_stumble(self._observer, exc)
        self._left_s -= time.thread_time() - began

    def _look(self, pair: Pair, first: HttpResponse, other: HttpResponse) -> None:
        shadowed = pair.shadowed
        route, counts = shadowed.route, shadowed.counts
        documents = route.api
        assert documents is not None, "only routes with documents are checked"
        request = client_request(pair)
        method, target = request.method.decode("latin-1"), request.target.decode("latin-1")
        asked, wrong = request_faults(
            documents.of(shadowed.authority), method, target, request.headers, _body(pair)
        )
        found: dict[str, Sequence[Fault]] = {REQUEST: wrong}
        for side, answer in ((shadowed.authority, first), (shadowed.target, other)):
            document = documents.of(side)
            operation: Found | str | None = asked
            if document is not documents.of(shadowed.authority):
                operation = document.find(method, target.partition("?")[0])
            if operation is None:
                continue  # The request is undeclared, and so is whatever answers it.
            faults = _faults(document, operation, method, answer)
            if faults is None:
                counts.document["skipped.size"] += 1
            else:
                found[side.value] = faults
        book = self._book.drift_of(route.route_id, route.comparison, documents.digest)
        for who, given in found.items():
            book.add(who, given)
            counts.document[f"checked.{who}"] += 1
            for rule in {fault.rule for fault in given}:
                counts.document[f"drift.{who}.{rule}"] += 1
        book.keep(found, first, other, time.time(), request)


def _faults(
    document: ApiDocument, operation: Found | str, method: str, answer: HttpResponse
) -> tuple[Fault, ...] | None:
    """Return what is wrong with an answer; None for one that is too large to be looked at."""
    if isinstance(operation, str):
        return (Fault(operation, "request"),)
    plain = content_of(answer, _BYTES_MAX)
    if len(plain.body) > _BYTES_MAX:
        return None
    if plain.problem:
        return (Fault("coding", "/"),)
    return answer_faults(document, operation, method, answer.status, answer.headers, plain.body)


def document_faults(
    document: ApiDocument, request: HttpRequest, answer: HttpResponse
) -> tuple[Fault, ...] | None:
    """Return what is wrong with an answer to `request`; None for one that is not looked at."""
    method = request.method.decode("latin-1")
    path = request.target.decode("latin-1").partition("?")[0]
    return _faults(document, document.find(method, path), method, answer)


def client_request(pair: Pair) -> HttpRequest:
    """Return the request that a pair answers, as its client sent it, without its body."""
    return request_of(pair.head.method, pair.head.target, pair.block, b"")


def _body(pair: Pair) -> bytes | None:
    """Return the request's body; None where it is not at hand, or in another coding."""
    spooled = pair.spooled
    if spooled is None:
        return None if pair.head.length else b""
    packed = b"content-encoding:" in pair.block.lower()
    return None if spooled.on_disk or packed else spooled.body
