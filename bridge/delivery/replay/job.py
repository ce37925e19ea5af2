"""A replay: what is sent again, to whom, how fast, and how far it is. Pure.

Asking and progress are one document, which is replaced as a whole: a replay that was killed goes on
from its document alone.
"""

import json
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from bridge.delivery.replay.choice import Choice
from bridge.model.errors import DecodeError, LimitExceeded

VERSION = 1

RATE_DEFAULT = 500
"""Events per second. Replayed events stand in a group's queue before live ones that come later: at
this rate a consumer that handles 2,000 a second keeps three quarters of its time for the live."""
RATE_MAX = 50_000
"""About what quorum queues confirm."""

ENTITIES_MAX = 100
"""How many entities a replay by key names in its entry; more say only how many."""


class TargetKind(Enum):
    """Where a replay goes."""

    QUEUE = "queue"  # The queue of one consumer group, and no other.
    FILE = "file"  # A new file of JSON lines.


class JobState(Enum):
    """How far a replay is."""

    OPEN = "open"  # Set when it is asked for; stays so when it is interrupted or fails.
    DONE = "done"  # Set when everything is confirmed; it is not resumed any more.


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One receiver."""

    kind: TargetKind
    name: str
    """A consumer group, or the absolute path of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayJob:
    """One replay."""

    replay_id: str
    target: Target
    start: int
    stop: int
    """Entries start … stop-1 are looked at."""
    choice: Choice
    rate: int
    """Events per second at most."""
    asked: str
    """When, RFC 3339."""
    next_index: int
    """The next entry to look at: everything before it is confirmed, or was not chosen."""
    sent: int = 0
    """How many events before `next_index` are confirmed."""
    state: JobState = JobState.OPEN
    entities: tuple[str, ...] = ()
    """Pseudonyms of the entities that were sent, sorted, when they were chosen by key."""

    def __post_init__(self) -> None:
        if not 1 <= self.rate <= RATE_MAX:
            raise LimitExceeded(
                f"cannot replay {self.rate} events per second: choose 1 to {RATE_MAX:,}"
            )
        assert 0 <= self.start <= self.next_index <= max(self.stop, self.start), "out of range"

    def moved(self, next_index: int, sent: int, entities: frozenset[str]) -> "ReplayJob":
        """Return the job further on; progress only moves forward."""
        assert next_index >= self.next_index, "a replay never goes back"
        names = sorted(entities | set(self.entities))[:ENTITIES_MAX]
        return replace(self, next_index=next_index, sent=sent, entities=tuple(names))

    def ended(self) -> "ReplayJob":
        """Return the job as it is done."""
        return replace(self, state=JobState.DONE)


def encode_job(job: ReplayJob) -> bytes:
    """Return the document of a job."""
    document = asdict(job) | {
        "version": VERSION,
        "state": job.state.value,
        "target": {"kind": job.target.kind.value, "name": job.target.name},
        "choice": job.choice.as_json(),
    }
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def decode_job(data: bytes) -> ReplayJob:
    """Return the job that `encode_job` wrote; raises `DecodeError` for anything else."""
    try:
        found: dict[str, Any] = json.loads(data)
        if found.pop("version") != VERSION:
            raise DecodeError("cannot read a replay: it is of another version")
        target = found.pop("target")
        return ReplayJob(
            **found
            | {
                "target": Target(kind=TargetKind(target["kind"]), name=target["name"]),
                "choice": Choice.from_json(found["choice"]),
                "state": JobState(found["state"]),
                "entities": tuple(found["entities"]),
            }
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise DecodeError(f"cannot read a replay: {type(exc).__name__}") from exc
