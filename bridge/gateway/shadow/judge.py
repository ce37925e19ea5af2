"""Compare pairs beside the exchanges: a little in each turn of the event loop, never more.

In a thread instead, comparisons would take the interpreter from the exchanges for up to its switch
interval (5 ms) at a time; in turns they take `turn_us`, and one comparison more at most.

A difference is looked at once more: both sides are asked again after a short wait. What then agrees
was one side being ahead of the other, a class of its own.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from bridge.gateway.comparison.book import ComparisonBook, RouteBook
from bridge.gateway.comparison.difference import Comparison
from bridge.gateway.comparison.verdicts import Finding
from bridge.gateway.comparison.work import WORK_MAX, TooMuchWork
from bridge.gateway.http.problems import MARKER
from bridge.gateway.http.response_head import ResponseHead
from bridge.gateway.plane.tap import note_stumble
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.sections.shadow import SAFE
from bridge.gateway.shadow.copy_call import CopyCall
from bridge.gateway.shadow.drift_check import DriftCheck, client_request
from bridge.gateway.shadow.look import Look
from bridge.gateway.shadow.pair import Pair
from bridge.gateway.shadow.shadowed_route import HeadKey, ShadowedRoute
from bridge.model.http import Headers, HttpResponse
from bridge.model.observer import Observer
from bridge.model.stage import Side

_NOT_MODIFIED: Final = 304
_LENGTH: Final = b"content-length:"


class _Head(NamedTuple):
    """The last head of a kind."""

    lines: list[bytes]
    headers: Headers
    length_at: int
    """Where Content-Length is among the lines; 0 for nowhere, for that is the status."""


class Judge:
    """The comparisons of one worker. Belongs to its event loop."""

    def __init__(
        self,
        book: ComparisonBook,
        *,
        backlog_max: int,
        turn_us: int,
        observer: Observer,
        pending: Callable[[Decision], bool],
    ) -> None:
        """`pending` tells whether writes of a request's key are still on their way."""
        self._book = book
        self._backlog_max = backlog_max
        self._turn_s = turn_us / 1e6
        self._observer = observer
        self._pending = pending
        self._drift = DriftCheck(book, observer)
        self._backlog: deque[Pair] = deque()
        self._looks: set[Look] = set()
        self._scheduled = False
        self._closed = False
        self._heads: dict[HeadKey, _Head] = {}

    @property
    def waiting_count(self) -> int:
        """Pairs that wait for their comparison."""
        return len(self._backlog)

    def add(self, pair: Pair) -> None:
        """Take a pair of which nothing is outstanding."""
        if len(self._backlog) >= self._backlog_max or self._closed:
            pair.shadowed.counts.uncompared["backlog"] += 1
            pair.end()
            return
        self._backlog.append(pair)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def tick(self, now: float) -> None:
        """Give up second looks that are too old."""
        for look in tuple(self._looks):
            look.tick(now)

    def forget_heads(self) -> None:
        """Keep no answer's head beyond a second: it may hold a session."""
        self._heads.clear()

    def close(self) -> None:
        """Let go of everything."""
        self._closed = True
        while self._backlog:
            self._backlog.popleft().end()
        for look in tuple(self._looks):
            look.abort()
        self._looks.clear()

    # -- one pair -------------------------------------------------------------------------------

    def _turn(self) -> None:
        until = time.monotonic() + self._turn_s
        while self._backlog:
            pair = self._backlog.popleft()
            try:
                self._judge(pair)
            except TooMuchWork:
                pair.shadowed.counts.uncompared["too_much_work"] += 1
                pair.end()
            except Exception as exc:
                # One pair's bug must not stop the others.
                pair.shadowed.counts.uncompared["comparison_failed"] += 1
                note_stumble(self._observer, exc)
                pair.end()
            if time.monotonic() >= until:
                break
        if self._backlog:
            asyncio.get_running_loop().call_soon(self._turn)
        else:
            self._scheduled = False

    def _judge(self, pair: Pair) -> None:
        shadowed, copy, probe = pair.shadowed, pair.copy, pair.probe
        assert copy is not None
        book = self._book.of(shadowed.route.route_id, shadowed.route.comparison)
        if shadowed.route.api is not None and copy.whole and self._drift.has_time(pair):
            self._hold_to_documents(pair, copy)
        if probe is None and self._is_alike(pair, copy, book):
            return
        compare = partial((shadowed.comparer or book.comparer).compare, steps_max=WORK_MAX)
        first = self._first(pair)
        again = None
        if probe is not None and probe.whole:
            again = compare(first, self._answer(shadowed, shadowed.authority, probe))
            shadowed.counts.probed["same" if again.equal else "different"] += 1
        reason = ""
        if copy.whole:
            other = self._answer(shadowed, shadowed.target, copy)
            reason = _why_not(first, other)
            if reason:
                shadowed.counts.uncompared[reason] += 1
        if not copy.whole or reason:
            if again is not None:
                book.verdicts.add_noise(again)
            pair.end()
            return
        comparison = compare(first, other, ids=shadowed.other_id)
        if comparison.equal or not self._looks_again(pair, book, comparison):
            self._settle(pair, book, comparison, first, other, again=again, second=None)
            return
        look = Look(pair, comparison, first, other, again, self._looked)
        self._looks.add(look)
        look.begin_later(shadowed.rules.second_look_ms / 1000)

    def _hold_to_documents(self, pair: Pair, copy: CopyCall) -> None:
        first = self._first(pair)
        other = self._answer(pair.shadowed, pair.shadowed.target, copy)
        if not _why_not(first, other):
            self._drift.look(pair, first, other)

    def _is_alike(self, pair: Pair, copy: CopyCall, book: RouteBook) -> bool:
        """Settle a pair whose answers are alike at first sight, the usual case, or return False.

        It comes to what the rest of `_judge` would come to, without making values of the answers.
        """
        shadowed, mine, theirs = pair.shadowed, pair.answer_head, copy.head
        if (
            mine is None
            or theirs is None
            or mine.status != theirs.status
            or not copy.whole
            or shadowed.rewrites
        ):
            return False
        comparer = shadowed.comparer or book.comparer
        any_length = not comparer.counts_lengths
        comparison = comparer.alike(
            self._fields(shadowed.client_key, mine.lines, any_length=any_length),
            self._fields(shadowed.target_key, theirs.lines, any_length=any_length),
            pair.answer.body,
            copy.answer.body,
        )
        if comparison is None:
            return False
        book.verdicts.add(comparison)
        counts = shadowed.counts
        counts.compared[comparison.outcome.value] += 1
        counts.orders[pair.orders.copy, True] += 1
        pair.end()
        return True

    def _looks_again(self, pair: Pair, book: RouteBook, comparison: Comparison) -> bool:
        shadowed = pair.shadowed
        return (
            pair.head.method in SAFE
            and book.verdicts.needs_second_look(comparison)
            and shadowed.look_bucket.take(time.monotonic())
        )

    def _looked(self, look: Look) -> None:
        """Take a look's answers, or that there are none."""
        self._looks.discard(look)
        pair, shadowed = look.pair, look.pair.shadowed
        again, second = look.again, None
        book = self._book.of(shadowed.route.route_id, shadowed.route.comparison)
        if look.whole:
            compare = partial((shadowed.comparer or book.comparer).compare, steps_max=WORK_MAX)
            mine, theirs = look.mine, look.theirs
            assert mine is not None
            assert theirs is not None
            authority = self._answer(shadowed, shadowed.authority, mine)
            other = self._answer(shadowed, shadowed.target, theirs)
            try:
                second = compare(authority, other, ids=shadowed.other_id)
                if again is None:
                    again = compare(look.first, authority)
            except TooMuchWork:
                shadowed.counts.uncompared["too_much_work"] += 1
                pair.end()
                look.release()
                return
        self._settle(
            pair, book, look.comparison, look.first, look.other, again=again, second=second,
            by_chance=look.again is not None,
        )  # fmt: skip
        look.release()

    def _settle(
        self,
        pair: Pair,
        book: RouteBook,
        comparison: Comparison,
        first: HttpResponse,
        other: HttpResponse,
        *,
        again: Comparison | None,
        second: Comparison | None,
        by_chance: bool = True,
    ) -> None:
        """Count what a pair comes to, and let go of it."""
        counts = pair.shadowed.counts
        if not comparison.equal and self._pending(pair.decision):
            # The other side is behind by what is still to be replayed to it.
            counts.uncompared["lane_pending"] += 1
            pair.end()
            return
        finding = book.add(
            comparison,
            first,
            other,
            made_at=time.time(),
            again=again,
            by_chance=by_chance and again is not None,
            second=second,
            request=None if comparison.equal else client_request(pair),
        )
        word = comparison.outcome.value if finding is Finding.EQUAL else finding.value
        counts.compared[word] += 1
        counts.orders[pair.orders.copy, comparison.equal] += 1
        pair.end()

    # -- answers as values ----------------------------------------------------------------------

    def _first(self, pair: Pair) -> HttpResponse:
        """Return the authority's answer, as the client got it."""
        return pair.answer_response or self._response(
            pair.shadowed.client_key, pair.answer_head, pair.answer.body
        )

    def _answer(self, shadowed: ShadowedRoute, side: Side, call: CopyCall) -> HttpResponse:
        key = shadowed.target_key if side is shadowed.target else shadowed.authority_key
        return shadowed.answer(side, self._response(key, call.head, call.answer.body), call.asked)

    def _response(self, key: HeadKey, head: ResponseHead | None, body: bytes) -> HttpResponse:
        assert head is not None, "a whole answer has a head"
        lines = head.lines
        return HttpResponse(
            status=head.status, reason=lines[0][13:], headers=self._fields(key, lines), body=body
        )

    def _fields(self, key: HeadKey, lines: list[bytes], *, any_length: bool = False) -> Headers:
        """Return a head's fields; with `any_length` perhaps those of a head that differs in its
        Content-Length alone."""
        # Answers of one kind within a second have the same head.
        kept = self._heads.get(key)
        if kept is not None and (
            kept.lines == lines or (any_length and _differ_in_length(kept, lines))
        ):
            return kept.headers
        headers = _headers(lines)
        length_at = next((at for at, line in enumerate(lines) if line[:15].lower() == _LENGTH), 0)
        self._heads[key] = _Head(lines, headers, length_at)
        return headers


def _headers(lines: list[bytes]) -> Headers:
    pairs = []
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        pairs.append((name, value.strip(b" \t")))
    return tuple(pairs)


def _differ_in_length(kept: _Head, lines: list[bytes]) -> bool:
    at = kept.length_at
    return (
        0 < at < len(lines)
        and lines[at][:15].lower() == _LENGTH
        and kept.lines[:at] == lines[:at]
        and kept.lines[at + 1 :] == lines[at + 1 :]
    )


def _why_not(first: HttpResponse, other: HttpResponse) -> str:
    """Return why two answers cannot be compared, or nothing."""
    if first.status != other.status:
        if _NOT_MODIFIED in (first.status, other.status):
            # The client's validator is the authority's: the other side cannot know it.
            return "conditional"
        if other.status >= 400 and other.header(MARKER) is not None:
            return "gateway_answer"
    return ""
