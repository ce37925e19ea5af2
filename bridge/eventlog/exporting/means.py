"""What an export works with: the log, its signer, and what others know."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bridge.eventlog.exporting.ports import (
    ContractFiles,
    Cosigner,
    Opener,
    Selector,
    no_contract,
)
from bridge.eventlog.exporting.views.facts import Zone
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.model.errors import ConfigInvalid

# One second of writing: what a kill costs at most; noting it costs a few milliseconds.
SEGMENT_ENTRIES_DEFAULT = 100_000


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportMeans:
    """What the wiring gives to an export."""

    log: EventLogStore
    head_signer: HeadSigner
    contracts: ContractFiles = no_contract
    opener: Opener | None = None
    selector: Selector | None = None
    cosign: Cosigner | None = None
    """None: the bundle has the cosignatures that the log has when it is sealed."""
    zone: Zone
    now: Callable[[], datetime] = _utc_now
    segment_entries: int = SEGMENT_ENTRIES_DEFAULT
    """After how many entries everything so far is made durable and noted."""


def zone(name: str) -> Zone:
    """Return the zone of this name (`Asia/Tokyo`); raises `ConfigInvalid`."""
    try:
        return Zone(name, ZoneInfo(name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ConfigInvalid(
            f"cannot use event_log.local_zone {name!r}: this machine knows no such zone; expected "
            "a name such as 'Asia/Tokyo' or 'UTC'"
        ) from exc
