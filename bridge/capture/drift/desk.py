"""Decide what becomes of a table whenever a shape of it is met in the stream.

A shape that is new to the log is told by a drift event before the first row that has it; what that
means to the contract, and the policy, decide whether rows flow on, are parked, or capture stops.
Which shape the log knows is stored with the rows, so a repeat after a crash decides the same again.
"""

from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol

from bridge.capture.drift.differences import (
    Compatibility,
    Difference,
    DriftKind,
    Verdict,
    differences,
    judge,
    relation_json,
)
from bridge.capture.drift.parked_rows import ParkedTable, kept_columns
from bridge.capture.drift.policy import DriftAction, DriftPolicy
from bridge.capture.drift.shapes import KnownTable, Pending, SeenIn, ShapeBook, TableState
from bridge.capture.mapping.own_events import Envelope, OwnEvents
from bridge.capture.ports import TableContracts
from bridge.contracts.contract_fit import ContractFit, RowMapper
from bridge.model.change import Relation
from bridge.model.entry import EntryDraft
from bridge.model.errors import ConfigInvalid, TableDrifted

# A verdict is read by a person; a table of a thousand columns says the same thing a thousand times.
_REASONS_TOLD_MAX: Final = 20
_DIFFERENCES_TOLD_MAX: Final = 200


class LogLookup(Protocol):
    """What a decision asks of the event log."""

    def find(self, entry_id: str) -> object | None:
        """Return the entry with this id."""


class Met(NamedTuple):
    """What to do with the rows of a shape."""

    mapper: RowMapper
    is_parked: bool
    draft: EntryDraft | None
    """The drift event, to stand before the first row; None when there is nothing to tell."""


def acceptance_id(drift_id: str) -> str:
    """Return the id of the entry by which a person accepts what a drift event told."""
    return f"{drift_id}-accepted"


class DriftDesk:
    """Knows the tables of one source and decides about their shapes."""

    def __init__(
        self,
        source: str,
        contracts: TableContracts,
        policy: DriftPolicy,
        events: OwnEvents,
        *,
        type_prefix: str,
        log: LogLookup | None = None,
    ) -> None:
        self.book = ShapeBook()
        self._source = source
        self._contracts = contracts
        self._policy = policy
        self._events = events
        self._type_prefix = type_prefix
        self._log = log
        # Accepted, and no contract fitted when it was looked for: once a session is enough.
        self._vain: set[str] = set()

    def know(self, book: ShapeBook, log: LogLookup) -> None:
        """Take over what is durable; called before anything is met."""
        self.book = book
        self._log = log

    def check(self, relation: Relation) -> None:
        """Take in a table as the catalog has it now; raise `ConfigInvalid` when nobody can map it.

        A table that is captured already may have any shape: rows of the shape that the log knows
        may still be in the WAL, and the stream will tell when it changed.
        """
        known = self.book.find(relation)
        if known is not None and (
            known.state is not TableState.FLOWING or known.relation != relation
        ):
            return
        if self._contracts.mapper(self._source, relation) is None:
            raise ConfigInvalid(
                f"cannot capture table {relation.name!r} of source {self._source!r}: no contract "
                "maps it; add one, or take the table out of the publication"
            )
        if known is None:
            self.book.put(KnownTable(relation=relation, seen_in=SeenIn.CATALOG))

    def as_read(self, relation: Relation) -> RowMapper:
        """Return what maps rows that a snapshot read, in the shape that the catalog has now.

        Such a shape is ahead of the stream and tells it nothing.
        """
        known = self.book.find(relation)
        fit = self._contracts.fit(self._source, relation)
        if known is not None and known.state is TableState.PARKED:
            return self._parked(relation, fit, known.reason or "", known)
        if fit is None or fit.mapper is None or (fit.missing and not self._goes_on(relation)):
            return self._parked(relation, fit, f"no contract fits table {relation.name!r}", known)
        return fit.mapper

    def meet(self, relation: Relation, envelope: Envelope) -> Met:
        """Decide about a shape at its first row in this session; `envelope` is the row's.

        Raises:
            TableDrifted: the policy says to stop here.
        """
        known = self.book.find(relation)
        fit = self._contracts.fit(self._source, relation)
        exact = fit is not None and fit.is_exact
        if known is None:
            found = [] if exact else [Difference(kind=DriftKind.APPEARED, new=relation.name)]
        else:
            found = differences(known.relation, relation)
        settled = known is None or known.state is TableState.FLOWING
        if not found and (exact or not settled):
            return self._go_on(known, relation, fit)
        return self._drifted(known, relation, fit, found, envelope)

    def _go_on(self, known: KnownTable | None, relation: Relation, fit: ContractFit | None) -> Met:
        """Meet a shape that the log knows, or that a contract was made for."""
        if known is not None and known.state is TableState.PARKED:
            return Met(self._parked(relation, fit, known.reason or "", known), True, None)
        if known is not None and known.state is TableState.PARTIAL:
            if fit is not None and fit.is_exact:
                self.book.put(KnownTable(relation=relation, seen_in=SeenIn.STREAM))
            elif fit is None or fit.mapper is None:
                return Met(self._parked(relation, fit, known.reason or "", known), True, None)
        elif known is None or known.seen_in is SeenIn.CATALOG:
            self.book.put(KnownTable(relation=relation, seen_in=SeenIn.STREAM))
        assert fit is not None, "a table that no contract maps is parked"
        assert fit.mapper is not None, "what fits exactly is mapped"
        return Met(fit.mapper, False, None)

    def _drifted(
        self,
        known: KnownTable | None,
        relation: Relation,
        fit: ContractFit | None,
        found: list[Difference],
        envelope: Envelope,
    ) -> Met:
        verdict = judge(found, relation, fit)
        drift_id = f"{envelope.event_id}-drift"
        action = self._policy.of(relation.name)
        accepted = self._is_accepted(drift_id)
        state = self._state(known, verdict, fit, DriftAction.CONTINUE if accepted else action)
        stops = self._stops(action, verdict) and not accepted
        did = "stopped" if stops else _DID[state]
        reason = _told_reason(relation, verdict, known)
        told = self._draft(known, relation, fit, found, verdict, envelope, action.value, did)
        if stops:
            pending = Pending(relation=relation, drift_id=drift_id, reason=reason)
            base = known or KnownTable(relation=relation, seen_in=SeenIn.STREAM)
            self.book.put(replace(base, pending=pending))
            raise TableDrifted(
                f"cannot go on with table {relation.name!r} of source {self._source!r}: {reason}; "
                "its drift policy is to stop; add a contract version that fits, then run: "
                f"legacy-bridge source drift accept {self._source} {relation.name} --reason …",
                told,
            )
        # It was told already if capture stopped here.
        is_told = self._log is not None and self._log.find(drift_id) is not None
        draft = None if is_told else told
        self.book.put(_known(known, relation, state, drift_id, reason))
        if state is TableState.PARKED or fit is None or fit.mapper is None:
            return Met(self._parked(relation, fit, reason, known), True, draft)
        return Met(fit.mapper, False, draft)

    def _state(
        self,
        known: KnownTable | None,
        verdict: Verdict,
        fit: ContractFit | None,
        action: DriftAction,
    ) -> TableState:
        if known is not None and known.state is TableState.PARKED:
            return TableState.PARKED  # Only a person ends it: rows are missing in between.
        if verdict.compatibility is Compatibility.BREAKS and (
            action is not DriftAction.CONTINUE or fit is None or fit.mapper is None
        ):
            return TableState.PARKED
        exact = fit is not None and fit.is_exact
        return TableState.FLOWING if exact else TableState.PARTIAL

    def _stops(self, action: DriftAction, verdict: Verdict) -> bool:
        return action is DriftAction.STOP and verdict.compatibility is not Compatibility.COMPATIBLE

    def _goes_on(self, relation: Relation) -> bool:
        return self._policy.of(relation.name) is DriftAction.CONTINUE

    def _is_accepted(self, drift_id: str) -> bool:
        return self._log is not None and self._log.find(acceptance_id(drift_id)) is not None

    def _parked(
        self,
        relation: Relation,
        fit: ContractFit | None,
        reason: str,
        known: KnownTable | None,
    ) -> ParkedTable:
        flowed = known and (known.shape_before or known.relation)
        renamed = [
            (difference.old, difference.new)
            for difference in (differences(flowed, relation) if flowed else ())
            if difference.kind is DriftKind.RENAMED
        ]
        kept = kept_columns(relation, fit, renamed)
        if self._policy.keep_unmapped and fit is not None:
            # A protected or dropped column under a new name is decided about: it stays out.
            withheld = fit.protected | fit.dropped
            kept |= {*fit.unmapped} - {new for old, new in renamed if old in withheld}
        return ParkedTable(relation, fit, reason=reason, kept=kept, type_prefix=self._type_prefix)

    def accept(self) -> list[str]:
        """Let tables flow again that a person accepted; return those that still fit no contract.

        Contracts are read again, so that a version that was added since is found.
        """
        accepted = [
            known
            for known in self.book
            if known.state is not TableState.FLOWING
            and known.drift_id is not None
            and known.drift_id not in self._vain
            and self._is_accepted(known.drift_id)
        ]
        if not accepted:
            return []
        self._contracts.refresh()
        unfit = []
        for known in accepted:
            fit = self._contracts.fit(self._source, known.relation)
            if fit is not None and fit.is_exact:
                self.book.put(KnownTable(relation=known.relation, seen_in=SeenIn.STREAM))
            else:
                unfit.append(known.relation.name)
                self._vain.add(known.drift_id or "")
        return unfit

    @property
    def is_waiting(self) -> bool:
        """Whether a table waits for a person."""
        return any(known.state is not TableState.FLOWING for known in self.book)

    def _draft(
        self,
        known: KnownTable | None,
        relation: Relation,
        fit: ContractFit | None,
        found: list[Difference],
        verdict: Verdict,
        envelope: Envelope,
        policy: str,
        did: str,
    ) -> EntryDraft:
        told = [difference.as_json() for difference in found[:_DIFFERENCES_TOLD_MAX]]
        data: dict[str, Any] = {
            "scope": "table",
            "seen_in": "stream",
            "table": relation.name,
            "differences": told,
            "differences_count": len(found),
            "old": None if known is None else relation_json(known.relation),
            "old_seen_in": None if known is None else known.seen_in.value,
            "new": relation_json(relation),
            "contract": fit and {"subject": fit.subject, "version": fit.version},
            "verdict": verdict.compatibility.value,
            "reasons": list(verdict.reasons[:_REASONS_TOLD_MAX]),
            "policy": policy,
            "outcome": did,
            "first_affected": envelope.event_id,
        }
        fields = {
            "table": relation.name,
            "verdict": verdict.compatibility.value,
            "state": did,
        }
        return self._events.event(
            "schema-drift",
            envelope._replace(event_id=f"{envelope.event_id}-drift", key=relation.name),
            data,
            fields=fields,
        )


_DID: Final = {
    TableState.FLOWING: "continued",
    TableState.PARTIAL: "continued-without-unmapped",
    TableState.PARKED: "parked",
}


def _told_reason(relation: Relation, verdict: Verdict, known: KnownTable | None) -> str:
    if verdict.compatibility is Compatibility.COMPATIBLE and known is not None and known.reason:
        return known.reason  # Parked before, and this change alone does not end it.
    told = "; ".join(verdict.reasons[:3])
    more = f"; {len(verdict.reasons) - 3} more" if len(verdict.reasons) > 3 else ""
    return f"table {relation.name!r} changed: {told or 'nothing that matters'}{more}"


def _known(
    known: KnownTable | None,
    relation: Relation,
    state: TableState,
    drift_id: str,
    reason: str,
) -> KnownTable:
    fresh = KnownTable(relation=relation, seen_in=SeenIn.STREAM)
    if state is TableState.FLOWING:
        return fresh
    before = None
    if known is not None:
        before = known.shape_before or known.relation
    return replace(fresh, state=state, drift_id=drift_id, reason=reason, shape_before=before)
