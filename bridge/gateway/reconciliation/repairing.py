"""Bring the other side back to what the authority has, by a write of the journal.

A repair is planned from a check made now, never from the finding's age; it is shown first, and put
into the journal under the epoch and only when the lane is empty, as any write. The replayer brings
it over; the next look at the entity forgets the finding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from bridge.gateway.comparison.difference import Difference
from bridge.gateway.dual.admission import new_intent_id
from bridge.gateway.dual.ports import WriteJournal
from bridge.gateway.reconciliation.checking import Checked, Checker, Pair, Verdict
from bridge.gateway.reconciliation.findings import Divergence, Finding, FindingState
from bridge.gateway.reconciliation.ports import FindingStore
from bridge.gateway.reconciliation.rules import EntityRule
from bridge.gateway.routes.route import Route
from bridge.model.errors import ConfigInvalid, LaneBusy, StepForbidden
from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage
from bridge.model.warrant import Warrant
from bridge.model.write import WriteIntent, WriteKind, WriteState

# Stages at which the journal's lanes are replayed.
_JOURNALLED: Final = frozenset({Stage.DUAL, Stage.CANARY, Stage.HANDOVER, Stage.MODERN})
# Repairs that one person may order; more are a bulk, which two decide.
ALONE_COUNT_MAX: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a repair would send to the other side."""

    finding: Finding
    route: Route
    request: HttpRequest
    """With the ids that clients use; the replay translates them."""
    pair: Pair
    differences: tuple[Difference, ...]
    epoch: int
    lane: str

    @property
    def towards(self) -> Side:
        """The side that is repaired."""
        return self.finding.authority.other


class Repairer:
    """Plans repairs and puts them into the journal."""

    def __init__(
        self,
        *,
        checker: Checker,
        journal: WriteJournal,
        store: FindingStore,
        owner: str,
        now: Callable[[], datetime],
    ) -> None:
        """`owner` names this process in the journal."""
        self._checker = checker
        self._journal = journal
        self._store = store
        self._owner = owner
        self._now = now

    async def plan(self, rule: EntityRule, key: str) -> Plan | Checked:
        """Return what would be sent, or the check by which there is nothing to be repaired now.

        Raises:
            ConfigInvalid: the routes do not say how this difference is repaired.
            StepForbidden: the group's stage has no replay.
        """
        state = self._checker.state(rule)
        if state.stage not in _JOURNALLED:
            raise StepForbidden(
                f"cannot repair {rule.entity!r} of group {rule.group!r}: at stage "
                f"{state.stage.value} nothing is replayed to the other side; switch to dual first"
            )
        checked = await self._checker.check(rule, key, origin="person")
        if checked.verdict is not Verdict.DIFFERENT:
            return checked
        assert checked.finding is not None
        assert checked.pair is not None
        route, request = _request(rule, key, checked.finding, checked.pair)
        return Plan(
            finding=checked.finding,
            route=route,
            request=request,
            pair=checked.pair,
            differences=checked.differences,
            epoch=state.epoch,
            lane=self._checker.sides.lane(rule, key),
        )

    async def apply(self, plan: Plan) -> str:
        """Put a planned repair into the journal; return its intent id.

        Raises:
            StaleEpoch, LaneBusy: something happened since it was planned; plan again.
            StorageUnavailable: whether it is in the journal is not known; look, then plan again.
        """
        finding, intent_id = plan.finding, new_intent_id()
        lane = self._journal.lane_state(finding.group, plan.lane)
        if lane.in_flight is not None or lane.unreplayed_to is not None:
            raise LaneBusy(
                f"cannot repair {finding.entity!r} of group {finding.group!r}: a write of it is "
                "under way; look again when it is done"
            )
        intent = WriteIntent(
            intent_id=intent_id,
            group=finding.group,
            route=plan.route.route_id,
            epoch=plan.epoch,
            authority=finding.authority,
            lane=plan.lane,
            idempotency_key=intent_id,
            request=plan.request,
            owner=self._owner,
            opened_at=self._now(),
            kind=WriteKind.REPAIR,
        )
        await self._journal.record(intent, WriteState.APPLIED, response=plan.pair.authority.answer)
        self._store.mark(
            finding.group, finding.entity, finding.key, FindingState.REPAIRED, repair=intent_id
        )
        return intent_id


def check_people(count: int, warrant: Warrant, approver: str | None) -> None:
    """Raise `ConfigInvalid` unless enough people decided about `count` repairs."""
    if approver is not None and approver.strip() == warrant.actor.id:
        raise ConfigInvalid(
            f"cannot repair {count} entities: {approver!r} cannot approve what they order; "
            "name another person"
        )
    if count > ALONE_COUNT_MAX and not (approver or "").strip():
        raise ConfigInvalid(
            f"cannot repair {count} entities on the word of one person: name a second one with "
            "--approver, or repair one by its key"
        )


def _request(rule: EntityRule, key: str, finding: Finding, pair: Pair) -> tuple[Route, HttpRequest]:
    repair = rule.route.reconcile.repair
    if finding.divergence is Divergence.EXTRA:
        route = rule.repairing(repair.delete, "delete")
        return route, _addressed(rule, route, key, b"", ())
    if finding.divergence is Divergence.MISSING and repair.create is not None:
        route = rule.repairing(repair.create, "create")
    else:
        route = rule.repairing(repair.put, "put")
    answer = pair.authority.answer
    assert answer is not None, "the authority has what the other side lacks or has otherwise"
    body = _body(answer, repair.without)
    media_type = answer.header(b"content-type") or b"application/octet-stream"
    return route, _addressed(rule, route, key, body, ((b"Content-Type", media_type),))


def _addressed(
    rule: EntityRule,
    route: Route,
    key: str,
    body: bytes,
    headers: tuple[tuple[bytes, bytes], ...],
) -> HttpRequest:
    return HttpRequest(
        method=route.methods[0], target=rule.target(key, route), headers=headers, body=body
    )


def _body(answer: HttpResponse, without: tuple[str, ...]) -> bytes:
    """Return the authority's body, byte for byte unless members are left away."""
    if not without:
        return answer.body
    try:
        tree = orjson.loads(answer.body)
    except ValueError as exc:
        raise ConfigInvalid(
            "cannot repair: 'without' names members, and the authority's answer is not JSON"
        ) from exc
    for pointer in without:
        _drop(tree, pointer)
    return orjson.dumps(tree)


def _drop(tree: Any, pointer: str) -> None:
    *way, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))
    for part in way:
        tree = tree.get(part) if isinstance(tree, dict) else None
    if isinstance(tree, dict):
        tree.pop(last, None)
