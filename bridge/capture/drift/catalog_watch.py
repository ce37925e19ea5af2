"""Watch the catalog: tell what a Relation message never carries, before it matters.

Facts lie on a shelf under their digest; the cursor holds the digest and a number that grows out of
all changes before, from which the ids come. So a restart neither forgets a change nor repeats one,
and a change there and back is two changes.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from bridge.capture.drift.catalog_facts import (
    CHANGES_TOLD_MAX,
    CatalogFacts,
    changes,
    found_tables,
    lost_tables,
    warnings,
)
from bridge.capture.drift.differences import Compatibility, judge, named_relation
from bridge.capture.mapping.change_mapper import rfc3339
from bridge.capture.mapping.own_events import Envelope, OwnEvents
from bridge.capture.ports import TableContracts
from bridge.capture.shelf import Shelf
from bridge.capture.watches import Sighting
from bridge.contracts.names import source_urn
from bridge.eventlog.records.action_record import action_draft
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.lsn import format_lsn
from bridge.model.observer import Observer

# People change schemas a few times a week; a minute is early, and costs the source nothing.
INTERVAL_S_DEFAULT: Final = 60.0


class FactsReader(Protocol):
    """Reads the catalog, on a connection of its own."""

    def read(self) -> CatalogFacts:
        """Return what it says now; writes nothing.

        Raises:
            SourceUnavailable: it does not answer, or an ALTER is under way.
        """

    def close(self) -> None:
        """Close the connection."""


class CatalogWatch:
    """Implements `Watch`. Its state is the digest of the facts and the chain of all changes."""

    name = "catalog"

    def __init__(
        self,
        source: str,
        reader: FactsReader,
        shelf: Shelf,
        *,
        contracts: TableContracts,
        events: OwnEvents,
        observer: Observer,
        interval_s: float = INTERVAL_S_DEFAULT,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.interval_s = interval_s
        self._source = source
        self._reader = reader
        self._shelf = shelf
        self._contracts = contracts
        self._events = events
        self._observer = observer
        self._clock = clock
        # Where the WAL ended at the last look that found everything as before.
        self._sound_at: int | None = None

    def look(self, state: str | None) -> Sighting:
        """Read the catalog; tell what changed since `state`."""
        facts = self._reader.read()
        text = json.dumps(facts.scopes, sort_keys=True)
        digest = _digest(text)
        if state is None:
            self._sound_at = facts.position
            self._shelf.store(text)
            return Sighting(state=f"{digest}:{digest}")
        known, _, chain = state.partition(":")
        if known == digest:
            self._sound_at = facts.position
            return Sighting()
        before = self._shelf.load(known)
        chain = _digest(f"{chain}{digest}")
        drafts = self._drafts(json.loads(before) if before else {}, facts, chain)
        self._shelf.store(text)
        self._sound_at = facts.position
        return Sighting(drafts, f"{digest}:{chain}")

    def close(self) -> None:
        """Close the reader."""
        self._reader.close()

    def _drafts(
        self, before: Mapping[str, Any], facts: CatalogFacts, chain: str
    ) -> list[EntryDraft]:
        now = self._clock()
        drafts: list[EntryDraft] = []
        for scope in sorted({*before, *facts.scopes}):
            old, new = before.get(scope, {}), facts.scopes.get(scope, {})
            if old != new:
                entry_id = f"{self._source}:catalog:{chain[:16]}:{len(drafts)}"
                drafts.append(self._draft(entry_id, scope, old, new, facts, rfc3339(now)))
        for outcome, tables in (
            ("lost", lost_tables(before, facts.scopes, self._ours())),
            ("found", found_tables(before, facts.scopes, self._ours())),
        ):
            # The first look at a table finds it, too.
            if tables and before:
                entry_id = f"{self._source}:catalog:{chain[:16]}:{outcome}"
                drafts.append(self._gap(entry_id, outcome, tables, facts, now))
        return drafts

    def _draft(
        self,
        entry_id: str,
        scope: str,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        facts: CatalogFacts,
        now: str,
    ) -> EntryDraft:
        kind, _, name = scope.partition(" ")
        found = changes(old, new)
        reasons = warnings(scope, old, new, self._ours())
        verdict = Compatibility.COMPATIBLE
        if kind == "table" and new:
            verdict, gaps = self._judge(name, new["columns"])
            reasons += gaps
        data = {
            "scope": kind,
            "seen_in": "catalog",
            "as_of": facts.as_of,
            "position": format_lsn(facts.position),
            kind: name,
            "differences": [change.as_json() for change in found[:CHANGES_TOLD_MAX]],
            "differences_count": len(found),
            "verdict": verdict.value,
            "reasons": reasons,
        }
        fields = {kind: name, "seen_in": "catalog", "verdict": verdict.value}
        told = {field: str(value) for field, value in fields.items()}
        self._observer.note("catalog_changed", source=self._source, **told)
        envelope = Envelope(entry_id, None, now, now, name)
        return self._events.event("schema-drift", envelope, data, fields=fields)

    def _ours(self) -> frozenset[str]:
        return frozenset(self._contracts.tables(self._source))

    def _judge(self, name: str, columns: Mapping[str, Any]) -> tuple[Compatibility, list[str]]:
        """Return what rows with these columns would mean to the table's contract, by name alone."""
        relation = named_relation(
            name, [column for column, facts in columns.items() if not facts["generated"]]
        )
        verdict = judge((), relation, self._contracts.fit(self._source, relation))
        return verdict.compatibility, list(verdict.reasons[:CHANGES_TOLD_MAX])

    def _gap(
        self, entry_id: str, outcome: str, tables: list[str], facts: CatalogFacts, now: datetime
    ) -> EntryDraft:
        """Return the entry of tables whose changes are not sent, or are again."""
        said: dict[str, Any] = {
            "cause": "not-published",
            "state": outcome,
            "tables": tables[:CHANGES_TOLD_MAX],
            "to_lsn": format_lsn(facts.position),
        }
        if outcome == "lost" and self._sound_at is not None:
            said["from_lsn"] = format_lsn(self._sound_at)
        self._observer.note(
            "tables_not_published" if outcome == "lost" else "tables_published_again",
            source=self._source,
            tables=len(tables),
        )
        return action_draft(
            EntryKind.GAP,
            "gap",
            None,
            at=now,
            fields={"source": source_urn(self._source), **said},
            payload=said,
            entry_id=entry_id,
        )


def _digest(text: str) -> str:
    """Return the digest under which the shelf keeps `text`."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]
