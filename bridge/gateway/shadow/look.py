"""A second look: after a difference, both sides are asked the same once more."""

import asyncio
from collections.abc import Callable

from bridge.gateway.comparison.difference import Comparison
from bridge.gateway.shadow.copied_request import COPY, PROBE
from bridge.gateway.shadow.copy_call import CopyCall
from bridge.gateway.shadow.pair import Pair
from bridge.model.http import HttpResponse


class Look:
    """One second look at one pair; `ended` is called once, unless `abort` came first."""

    __slots__ = (
        "_deadline", "_ended", "_timer", "again", "comparison", "first", "mine", "other", "pair",
        "theirs",
    )  # fmt: skip

    def __init__(
        self,
        pair: Pair,
        comparison: Comparison,
        first: HttpResponse,
        other: HttpResponse,
        again: Comparison | None,
        ended: "Callable[[Look], None]",
    ) -> None:
        self.pair = pair
        self.comparison = comparison
        """Of the two first answers."""
        self.first = first
        self.other = other
        self.again = again
        """The authority against itself, where a probe was drawn beforehand."""
        self.mine: CopyCall | None = None
        self.theirs: CopyCall | None = None
        self._ended = ended
        self._deadline = float("inf")
        self._timer: asyncio.TimerHandle | None = None

    @property
    def whole(self) -> bool:
        """Whether both sides have answered."""
        mine, theirs = self.mine, self.theirs
        return mine is not None and theirs is not None and mine.whole and theirs.whole

    def begin_later(self, wait_s: float) -> None:
        """Ask in a while."""
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._begin)

    def _begin(self) -> None:
        pair, shadowed = self.pair, self.pair.shadowed
        loop_now = asyncio.get_running_loop().time()
        self._deadline = loop_now + shadowed.rules.timeout_ms / 1000
        mine = theirs = None
        if shadowed.probes.pace.has_room() and shadowed.copies.pace.has_room():
            mine = pair.call(shadowed.authority, PROBE, self._one_ended)
            theirs = pair.call(shadowed.target, COPY, self._one_ended)
        if mine is None or theirs is None:
            self._ended(self)
            return
        self.mine, self.theirs = mine, theirs
        shadowed.probes.pace.in_flight += 1
        shadowed.copies.pace.in_flight += 1
        mine.begin()
        theirs.begin()

    def _one_ended(self, call: CopyCall) -> None:
        shadowed = self.pair.shadowed
        way = shadowed.probes if call is self.mine else shadowed.copies
        way.pace.in_flight -= 1
        mine, theirs = self.mine, self.theirs
        assert mine is not None
        assert theirs is not None
        if mine.done and theirs.done:
            self._ended(self)

    def tick(self, now: float) -> None:
        """Give up what is too old; `now` is monotonic seconds."""
        if now >= self._deadline:
            for call in (self.mine, self.theirs):
                if call is not None:
                    call.expire()

    def release(self) -> None:
        """Let go of both answers."""
        for call in (self.mine, self.theirs):
            if call is not None:
                call.abort()

    def abort(self) -> None:
        """Give it up; nobody is told."""
        if self._timer is not None:
            self._timer.cancel()
        shadowed = self.pair.shadowed
        for call, way in ((self.mine, shadowed.probes), (self.theirs, shadowed.copies)):
            if call is not None:
                if not call.done:
                    way.pace.in_flight -= 1
                call.abort()
        self.pair.end()
