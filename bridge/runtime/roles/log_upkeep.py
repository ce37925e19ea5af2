"""What people do to the log's store: prune it, and accept that it lost entries."""

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bridge.eventlog.inspection import Progress, no_progress
from bridge.eventlog.pruning import PrunePlan, PruneRules, plan_pruning, prune
from bridge.eventlog.records.attempt import refusals_told
from bridge.eventlog.restoration import ACTION, Loss, find_loss, restore_draft
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.warrant import Warrant
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.log_identity import retire, retired, signed_head
from bridge.runtime.wiring.log_opening import (
    STATE_FILE,
    bare_event_log,
    keys_dir,
    known_of_log,
    sink_cursors,
)
from bridge.runtime.wiring.sink import SINK
from bridge.runtime.wiring.stores import Stores
from bridge.storage.sink_cursors import SqliteSinkCursors


def prune_rules(stores: Stores) -> PruneRules:
    """Return what forbids pruning now."""
    settings, keeping = stores.settings, stores.keeping()
    cursors = sink_cursors(settings)
    if settings.delivery is not None:
        # A broker that nothing was ever published to still needs everything.
        cursors.setdefault(SINK, 0)
    holds: list[str] = []
    if keeping.exists:
        keys = keeping.store()
        holds = [hold.hold_id for hold in keys.holds()]
        # Destroyed keys that came back with a backup of it are destroyed again by what is there.
        cursors["keys.db"] = keys.applied_through()
    return PruneRules(floor_days=settings.event_log.prune_floor_days, holds=holds, cursors=cursors)


def prune_log(
    stores: Stores,
    below: int,
    warrant: Warrant,
    *,
    dry_run: bool = False,
    progress: Progress = no_progress,
) -> PrunePlan:
    """Prune the log below `below`; a refusal leaves an entry, too.

    Raises:
        LimitExceeded: a rule forbids it.
        LogPruned: it is done already.
        StorageUnavailable: the store cannot be used; what was begun goes on at the next sweep.
    """
    log, now = stores.event_log(), datetime.now(UTC)
    if dry_run:
        return plan_pruning(log, below, prune_rules(stores), now=now)
    asked = {"below": below}
    with refusals_told(
        lambda draft: log.append([draft]), EntryKind.PRUNE, "prune", warrant, fields=asked
    ):
        plan = plan_pruning(log, below, prune_rules(stores), now=now)
        prune(log, plan, warrant, at=now, progress=progress)
    return plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """How a log goes on after a loss."""

    loss: Loss
    index: int
    """Of the RESTORE entry, the first one after the loss."""
    old_origin: str
    new_origin: str
    keys: Path | None
    """Where the old name's keys are now."""


def accept_restore(settings: Settings, new_origin: str, warrant: Warrant) -> Accepted:
    """Accept what the log lost; it goes on as `new_origin`, which the settings must name then.

    All roles must be stopped. After a crash in the middle, do it again.

    Raises:
        ConfigInvalid: nothing is lost, or the name cannot be used.
        StorageUnavailable: a store or the folder of the keys cannot be used.
    """
    folder = keys_dir(settings)
    last = signed_head(folder)
    old_origin = settings.event_log.origin if last is None else last.origin
    if new_origin in {old_origin, *(each.origin for each in retired(folder))}:
        raise ConfigInvalid(
            f"cannot go on as {new_origin!r}: heads were signed under that name that this log "
            "contradicts; choose a name that was never used, such as the old one with a number"
        )
    if not new_origin or any(map(str.isspace, new_origin)) or "+" in new_origin:
        raise ConfigInvalid(f"cannot go on as {new_origin!r}: a name has no space and no '+'")
    known = known_of_log(settings)
    with closing(bare_event_log(settings)) as log:
        with refusals_told(lambda draft: log.append([draft]), EntryKind.RESTORE, ACTION, warrant):
            loss = find_loss(log, known)
            if loss is None:
                raise ConfigInvalid(
                    "cannot accept a restored log: it has everything that was signed and published"
                )
        draft = restore_draft(
            loss,
            warrant,
            at=datetime.now(UTC),
            old_origin=old_origin,
            new_origin=new_origin,
            last_note=None if last is None else last.note,
        )
        log.append([draft])
        entry = log.find(draft.entry_id)
        assert entry is not None, "it was appended, now or before a crash"
        if (settings.data_dir / STATE_FILE).exists():
            with closing(SqliteSinkCursors(settings.data_dir / STATE_FILE)) as cursors:
                cursors.bring_back(loss.start)
    place = None if last is None else retire(folder, last)
    return Accepted(
        loss=loss, index=entry.leaf_index, old_origin=old_origin, new_origin=new_origin, keys=place
    )
