"""How fast the queued requests of one route are sent: evenly, without a burst after a pause."""

import asyncio
from types import TracebackType

from bridge.gateway.routes.sections.ingress import IngressRules


class Pace:
    """Lets in as many at once, and as many in a second, as the route declares."""

    def __init__(self, rules: IngressRules) -> None:
        self.rules = rules
        self._places = asyncio.Semaphore(rules.concurrency)
        self._next_at = 0.0

    async def __aenter__(self) -> None:
        await self._places.acquire()
        if self.rules.rate_per_s is None:
            return
        now = asyncio.get_running_loop().time()
        begin_at = max(now, self._next_at)
        self._next_at = begin_at + 1 / self.rules.rate_per_s
        try:
            await asyncio.sleep(begin_at - now)
        except BaseException:
            self._places.release()
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._places.release()
