"""What a log asks of its witnesses."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from bridge.eventlog.ports import CheckpointStore, EventLogReader


class Told(NamedTuple):
    """What a witness answered: an HTTP status and a body."""

    status: int
    body: bytes


class WitnessLink(Protocol):
    """The way to one witness."""

    def add_checkpoint(self, submission: bytes) -> Told:
        """Send a submission and return the answer, within a bounded time.

        Raises:
            UpstreamUnavailable: no answer; whether the witness has cosigned is unknown, and asking
                again is safe.
        """


class WitnessedLog(EventLogReader, CheckpointStore, Protocol):
    """What asking witnesses needs of a log; it cannot append."""


class AlarmBell(Protocol):
    """Tells somebody outside; at least once, in the background."""

    def ring(self, alarm: Mapping[str, Any]) -> None:
        """Queue `alarm` (JSON values) and return at once; never raises."""

    def close(self) -> None:
        """Wait a little for what is queued, then give up."""
