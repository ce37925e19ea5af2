"""What a person sees of tables that left their contract, and how one is accepted."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.capture.cursor import parse_cursor
from bridge.capture.drift.desk import acceptance_id
from bridge.capture.drift.shapes import ShapeBook, TableState
from bridge.capture.ports import CaptureLog, TableContracts
from bridge.capture.shelf import Shelf
from bridge.contracts.contract_fit import ContractFit
from bridge.contracts.names import data_schema_urn, source_urn
from bridge.eventlog.records.action_record import action_draft
from bridge.model.change import Relation
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.lsn import format_lsn
from bridge.model.warrant import Warrant


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftedTable:
    """A table whose rows do not flow as its contract says."""

    relation: Relation
    state: str
    drift_id: str
    reason: str | None
    is_accepted: bool
    """Accepted, and capture has not met it yet."""
    fit: ContractFit | None
    """The contract as it is on disk now."""

    @property
    def can_be_accepted(self) -> bool:
        """Whether a contract accounts for every column of the new shape."""
        return self.fit is not None and self.fit.is_exact

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "table": self.relation.name,
            "state": self.state,
            "since": self.drift_id,
            "reason": self.reason,
            "accepted": self.is_accepted,
            "contract": self.fit and f"{self.fit.subject} {self.fit.version}",
            "unmapped": list(self.fit.unmapped) if self.fit else [],
            "missing": list(self.fit.missing) if self.fit else [],
            "can_be_accepted": self.can_be_accepted,
        }


def drifted_tables(log: CaptureLog, source: str, contracts: TableContracts) -> list[DriftedTable]:
    """Return the tables of `source` that wait for a person, by name.

    A table whose policy is to stop is among them once its first row was met: capture tells it
    before it ends.
    """
    stored = log.cursor(source)
    digest = parse_cursor(stored.state).shapes if stored else None
    text = Shelf(log, source, "shapes").load(digest) if digest else None
    if text is None:
        return []
    found = []
    for known in ShapeBook.parse(text):
        stop = known.pending
        if stop is not None:
            told: tuple[Relation, str, str | None, str | None]
            told = (stop.relation, "stopped", stop.drift_id, stop.reason)
        elif known.state is not TableState.FLOWING:
            told = (known.relation, known.state.value, known.drift_id, known.reason)
        else:
            continue
        relation, state, drift_id, reason = told
        assert drift_id is not None, "a drift event put the table into this state"
        found.append(
            DriftedTable(
                relation=relation,
                state=state,
                drift_id=drift_id,
                reason=reason,
                is_accepted=log.find(acceptance_id(drift_id)) is not None,
                fit=contracts.fit(source, relation),
            )
        )
    return found


def accept_drift(
    log: CaptureLog,
    source: str,
    drifted: DriftedTable,
    warrant: Warrant,
    *,
    at: datetime,
) -> str:
    """Record that a table's new shape is right; return the entry's id.

    Capture meets it within seconds, reads the contracts again, and lets the table's rows flow from
    there on. Rows that are parked by then stay parked, in the log.

    Raises:
        ConfigInvalid: no contract fits the new shape yet.
    """
    table = drifted.relation.name
    fit = drifted.fit
    if fit is None or not drifted.can_be_accepted:
        gaps = "no contract maps it"
        if fit is not None:
            lacking = [f"{column!r} is not mapped" for column in fit.unmapped]
            lacking += [f"{column!r} is mapped and gone" for column in fit.missing]
            gaps = f"in {fit.subject} {fit.version}, column {', '.join(lacking)}"
        raise ConfigInvalid(
            f"cannot accept the new shape of table {table!r} of source {source!r}: {gaps}; add a "
            "contract version with a mapping that fits, then accept again"
        )
    stored = log.cursor(source)
    assert stored is not None, "a drifted table was captured"
    entry_id = acceptance_id(drifted.drift_id)
    log.append(
        [
            action_draft(
                EntryKind.CONTROL,
                "drift-accept",
                warrant,
                at=at,
                entry_id=entry_id,
                fields={
                    "source": source_urn(source),
                    "table": table,
                    "drift": drifted.drift_id,
                    "dataschema": data_schema_urn(fit.subject, fit.version),
                    "legacy": {"lsn": format_lsn(parse_cursor(stored.state).end_lsn)},
                },
            )
        ]
    )
    return entry_id
