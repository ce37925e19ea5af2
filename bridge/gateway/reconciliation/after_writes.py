"""After a part of the finished writes, both sides are read and compared."""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final, NamedTuple, Protocol

from bridge.gateway.reconciliation.checking import Checker, Verdict
from bridge.gateway.reconciliation.rules import EntityRule
from bridge.model.write import JournalledWrite, WriteKind, WriteState

# Looked at in one step: at most this many finished writes, of which the sample is a part. A burst
# above it is sampled less, not later.
WRITES_COUNT_MAX: Final = 100
# Writes that were looked at already; those of the journal's newest page are remembered.
_SEEN_MAX: Final = 4 * WRITES_COUNT_MAX


class FinishedWrites(Protocol):
    """The write journal's desk, as far as it is asked here."""

    def list_writes(
        self,
        *,
        group: str | None = None,
        state: WriteState | None = None,
        lane: str | None = None,
        kind: WriteKind | None = None,
        count_max: int = 100,
    ) -> Sequence[JournalledWrite]:
        """Return the newest writes first."""


class Sampled(NamedTuple):
    """What one step came to."""

    looked: int
    differing: int
    busy: int


class WriteSampler:
    """Chooses by the write's own id, so that restarts and stand-ins choose the same ones."""

    def __init__(self, checker: Checker, writes: FinishedWrites) -> None:
        self._checker = checker
        self._writes = writes
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def step(self, rule: EntityRule) -> Sampled:
        """Look at both sides after the sample of writes that finished since the last step.

        Raises:
            StorageUnavailable: the journal or the findings cannot be read or written.
        """
        looked = differing = busy = 0
        done = self._writes.list_writes(
            group=rule.group, state=WriteState.DONE, count_max=WRITES_COUNT_MAX
        )
        for write in reversed(done):
            intent_id = write.intent.intent_id
            if intent_id in self._seen:
                continue
            self._seen[intent_id] = None
            if len(self._seen) > _SEEN_MAX:
                self._seen.popitem(last=False)
            key = self._key(rule, write)
            if key is None or not chosen(intent_id, rule.route.reconcile.sample):
                continue
            looked += 1
            checked = await self._checker.check(rule, key, origin="write")
            differing += checked.verdict is Verdict.DIFFERENT
            busy += checked.verdict not in (Verdict.DIFFERENT, Verdict.EQUAL)
        return Sampled(looked, differing, busy)

    def _key(self, rule: EntityRule, write: JournalledWrite) -> str | None:
        """Return the key of the entity that a write touched, by its lane."""
        prefix = "" if rule.lane_entity is None else f"{rule.lane_entity}:"
        lane = write.intent.lane
        if not lane.startswith(prefix) or lane.startswith(("new:", "route:", "record:")):
            return None
        return lane.removeprefix(prefix)


def chosen(intent_id: str, part: float) -> bool:
    """Return whether a write belongs to a sample of this part of all."""
    number = int.from_bytes(blake2b(intent_id.encode(), digest_size=8).digest(), "big")
    return number < part * 2**64
