"""The error tree: every class says who should act, so that no loop has to parse a message.

    BridgeError                     remedy
    ├── ConfigInvalid               OPERATOR     a file or setting must change
    │   └── NotKnown                OPERATOR     nothing has the name that was given
    ├── SourceUnfit                 OPERATOR     the source is reachable, but not set up for capture
    │   └── SourceGap               OPERATOR     changes that the log needs are lost
    ├── TableDrifted                OPERATOR     a table left its contract; the policy is to stop
    ├── DecodeError                 STOP         bytes are not what the protocol says
    ├── ContractViolated            PARK         an event does not fit its contract
    ├── ContractIncompatible        OPERATOR     a new version breaks its readers
    ├── LogCorrupt                  STOP         what is read is not what was signed
    ├── LogPruned                   OPERATOR     what is asked for was taken out of the log's store
    ├── LogRestored                 OPERATOR     the log is older than what others know of it
    ├── StaleCursor                 STOP         somebody else moved the cursor: we are fenced
    ├── StaleEpoch                  REREAD       someone switched first
    ├── StepForbidden               OPERATOR     not a legal stage change
    ├── HeldBack                    OPERATOR     a legal hold covers what would be destroyed
    ├── LimitExceeded               OPERATOR     a named limit was reached
    ├── LaneBusy                    RETRY        a key's write is in flight, in doubt or unreplayed
    ├── OutcomeUnknown              REPAIR       it may have happened
    └── Unavailable                 RETRY
        ├── SourceUnavailable
        ├── SinkUnavailable
        ├── UpstreamUnavailable
        └── StorageUnavailable

A message reads `what could not be done: why, with the values[; what to do]` and never holds a row
value, a credential, a body or a header value.
"""

from enum import Enum
from typing import ClassVar

from bridge.model.entry import EntryDraft


class Remedy(Enum):
    """Who should act on an error. Loops switch on it."""

    RETRY = "retry"  # The same call may succeed later; back off and repeat.
    REREAD = "reread"  # Our picture is old; read it again, then decide again.
    REPAIR = "repair"  # It may have happened; a resolver or a person must find out.
    PARK = "park"  # Keep this one item aside, visible, and go on with the next.
    OPERATOR = "operator"  # A person must change something before a retry makes sense.
    STOP = "stop"  # Going on would make it worse; the role ends with a clear message.


class BridgeError(Exception):
    """Root of everything that Legacy Bridge raises on purpose."""

    remedy: ClassVar[Remedy] = Remedy.OPERATOR


class ConfigInvalid(BridgeError):
    """A file or setting must change before this can run."""


class NotKnown(ConfigInvalid):
    """Nothing has the name that was given."""


class SourceUnfit(BridgeError):
    """The source answers, but lacks a setting or a right that capture needs."""


class SourceGap(SourceUnfit):
    """Changes beyond our place in the source cannot be had any more: a person decides."""

    def __init__(self, message: str, *, cause: str, end_lsn: int | None) -> None:
        super().__init__(message)
        self.cause = cause
        """`slot-missing`, `slot-lost` or `slot-moved`."""
        self.end_lsn = end_lsn
        """Where the source can go on, if that is known already."""


class TableDrifted(BridgeError):
    """A table left its contract, and the policy is to stop before its first row."""

    def __init__(self, message: str, draft: EntryDraft) -> None:
        super().__init__(message)
        self.draft = draft
        """The drift event: it is told even though nothing behind it is appended."""


class DecodeError(BridgeError):
    """Bytes from outside are not what their protocol says."""

    remedy = Remedy.STOP


class ContractViolated(BridgeError):
    """An event does not fit its contract; it is parked with this reason."""

    remedy = Remedy.PARK


class ContractIncompatible(BridgeError):
    """A new contract version breaks its readers."""


class LogCorrupt(BridgeError):
    """What is read from the event log is not what was appended or signed."""

    remedy = Remedy.STOP


class LogPruned(BridgeError):
    """What is asked for lies below the log's minimum index."""


class LogRestored(BridgeError):
    """The log lacks entries that were signed or published: a person decides how it goes on."""


class StaleCursor(BridgeError):
    """The source's cursor was moved by somebody else: this process was taken over."""

    remedy = Remedy.STOP


class StaleEpoch(BridgeError):
    """The group was switched since the caller last looked."""

    remedy = Remedy.REREAD


class StepForbidden(BridgeError):
    """The stage change is not a legal step."""


class HeldBack(BridgeError):
    """A legal hold covers what would be destroyed: a person decides which of the two gives way."""


class LimitExceeded(BridgeError):
    """A named limit was reached."""


class LaneBusy(BridgeError):
    """A key has a write in flight, in doubt, or not yet replayed."""

    remedy = Remedy.RETRY


class OutcomeUnknown(BridgeError):
    """A request was sent and its answer was lost: it may have happened."""

    remedy = Remedy.REPAIR


class Unavailable(BridgeError):
    """Something outside cannot be reached now."""

    remedy = Remedy.RETRY


class SourceUnavailable(Unavailable):
    """The legacy database cannot be reached."""


class SinkUnavailable(Unavailable):
    """The broker cannot be reached, or did not confirm."""


class UpstreamUnavailable(Unavailable):
    """An HTTP side cannot be reached; provably no byte of the request was sent."""


class StorageUnavailable(Unavailable):
    """The gateway's own store cannot be read or written (locked, full, unreachable)."""
