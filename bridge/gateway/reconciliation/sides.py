"""Read one entity on one side, by that side's ids, and answer by the client's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.replay_attempt import Attempts
from bridge.gateway.reconciliation.rules import EntityRule
from bridge.gateway.translation.ids import lane_of, translate_response
from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side

_ABSENT: Final = frozenset({404, 410})


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one side has of an entity."""

    answer: HttpResponse | None
    """None when it has none."""
    digest: str | None
    readable: bool = True
    """False when the side could not be asked, or answered with an error."""


_UNREADABLE: Final = Look(answer=None, digest=None, readable=False)
_NOTHING: Final = Look(answer=None, digest=None)


class Readers(Protocol):
    """Both sides of all groups, however they are read."""

    def lane(self, rule: EntityRule, key: str) -> str:
        """Return the lane of an entity's writes."""

    def other_ids(self, rule: EntityRule, towards: Side) -> Callable[[str, str], str | None]:
        """Return what finds the id on `towards` for one of the other side's."""

    async def read(self, rule: EntityRule, key: str, side: Side, *, authority: bool) -> Look:
        """Read an entity on `side`."""


class Sides:
    """Both sides of all groups, over HTTP."""

    def __init__(self, forwarder: Forwarder, attempts: Attempts) -> None:
        self._forwarder = forwarder
        self._attempts = attempts

    def lane(self, rule: EntityRule, key: str) -> str:
        """Return the lane of an entity's writes."""
        entity = rule.lane_entity
        pair = None if entity is None else self._forwarder.ids.pair(rule.group, entity, key)
        return lane_of(entity, key) if pair is None else pair.lane

    def other_ids(self, rule: EntityRule, towards: Side) -> Callable[[str, str], str | None]:
        """Return what finds the id on `towards` for one of the other side's."""
        ids, group = self._forwarder.ids, rule.group

        def find(entity: str, known: str) -> str | None:
            pair = ids.pair_on(group, entity, towards.other, known) or ids.pair(
                group, entity, known
            )
            return None if pair is None else pair.on(towards)

        return find

    async def read(self, rule: EntityRule, key: str, side: Side, *, authority: bool) -> Look:
        """Read an entity on `side`.

        Raises:
            StorageUnavailable: the id map cannot be read.
        """
        request = HttpRequest(
            method=b"GET",
            target=rule.target(key),
            headers=((b"Accept", b"application/json, */*;q=0.5"),),
        )
        translated = self._forwarder.translated(rule.route, request, side)
        if translated.unknown:
            return _NOTHING  # The map has no id of it there.
        try:
            answer = await self._attempts.exchange(rule.route, translated.request, side)
        except (UpstreamUnavailable, OutcomeUnknown):
            return _UNREADABLE
        if answer.status in _ABSENT:
            return _NOTHING
        if not 200 <= answer.status < 300:
            return _UNREADABLE
        shown = translate_response(rule.route.ids, answer, translated.used)
        ids = self.other_ids(rule, side.other) if authority else None
        return Look(answer=shown, digest=rule.comparer.digest(shown, ids=ids))
