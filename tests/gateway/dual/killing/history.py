"""What clients saw and what each side did, as values that a checker reads afterwards."""

from enum import Enum
from typing import NamedTuple


class Told(Enum):
    """What a client was told about its operation."""

    DONE = "done"  # 2xx: acknowledged.
    REFUSED = "refused"  # An answer that says that nothing was done.
    DOUBT = "doubt"  # An answer that says that the outcome is not known.
    NOTHING = "nothing"  # No answer: the connection ended, or time was up.


class Kind(Enum):
    """What an operation does to the register that its key is."""

    READ = "read"
    WRITE = "write"
    CREATE = "create"


class Operation(NamedTuple):
    """One operation of one client; times are of one monotonic clock."""

    client: int
    kind: Kind
    key: str | None
    """The order as clients call it; None for a create that was not answered."""
    value: str | None
    """Written (unlike any other), or read."""
    invoked: float
    returned: float
    told: Told
    intent_id: str | None = None
    """The write that an answer of doubt named."""


class Execution(NamedTuple):
    """One write that a side carried out; in the order of its log."""

    key: str
    """By the side's own id."""
    value: str
    idempotency_key: str | None


class Record(NamedTuple):
    """What the journal knows of one write."""

    intent_id: str
    value: str
    state: str


class Evidence(NamedTuple):
    """Everything that is left after a run."""

    operations: tuple[Operation, ...]
    legacy: tuple[Execution, ...]
    modern: tuple[Execution, ...]
    pairs: dict[str, str]
    """Legacy id → modern id."""
    journal: tuple[Record, ...]
    listed: frozenset[str]
    """Intent ids that were listed as in doubt at some time."""
    initial: dict[str, str]
    """Value of each key before the run."""
    honours_keys: bool = True
    """Whether both sides carry out a request once for each Idempotency-Key."""
