"""What the clients know: an append-only file of writes, each before it is sent and after.

One JSON object per line. An intent is in the file before its request leaves, so whatever happens
to the clients or the servers afterwards, a checker knows what may have been done and what was
acknowledged. Lines of several clients interleave; those of one key stand in their order, because a
key has one client, which waits for each answer.
"""

import json
import os
import threading
import time
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple


class Outcome(Enum):
    """What a client was told about a write."""

    ACKNOWLEDGED = "acknowledged"  # Set by an answer of success.
    REFUSED = "refused"  # Set by an answer that says that nothing was done.
    UNKNOWN = "unknown"  # Set when there was no answer, or one that does not say.


class Write(NamedTuple):
    """One write, as its client saw it."""

    number: int
    operation: str
    """`create`, `status`, `line`, `payment` or `customer`."""
    key: str
    """What it wrote to: `ref CLIENT_REF` for an order of this traffic, `order N`, `customer N`."""
    body: Mapping[str, Any]
    line_no: int | None
    sent_at: float
    """Seconds since the epoch, before the request left."""
    outcome: Outcome
    answered_at: float | None
    status: int | None
    order_id: str | None
    """The id that the answer named."""


class TrafficJournal:
    """Writes a journal; clients on several threads share it."""

    def __init__(self, path: Path) -> None:
        """Append to `path`, which may exist."""
        # Unbuffered and appending: a line that was written survives the end of this process.
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._lock = threading.Lock()
        self._number = 0

    def intend(
        self, operation: str, key: str, body: Mapping[str, Any], line_no: int | None = None
    ) -> int:
        """Record that a write is about to be sent; return the number of it."""
        with self._lock:
            self._number += 1
            number = self._number
        self._append(
            {
                "intent": number,
                "operation": operation,
                "key": key,
                "body": body,
                "line_no": line_no,
                "at": time.time(),
            }
        )
        return number

    def settle(
        self, number: int, outcome: Outcome, *, status: int | None, order_id: str | None = None
    ) -> None:
        """Record what the client was told about write `number`."""
        self._append(
            {
                "settled": number,
                "outcome": outcome.value,
                "status": status,
                "order_id": order_id,
                "at": time.time(),
            }
        )

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _append(self, record: Mapping[str, Any]) -> None:
        # One write call per line: O_APPEND keeps lines of several threads apart.
        os.write(self._file, json.dumps(record, ensure_ascii=False).encode() + b"\n")


def read_journals(paths: Iterable[Path]) -> list[Write]:
    """Return the writes of journals given in the order of their runs.

    A write without an outcome, as killed clients leave it, is unknown.

    Raises:
        ValueError: a line is not one of a journal; names file and line. A last line that was cut
            short is passed over.
    """
    writes: list[Write] = []
    for path in paths:
        writes += _read(path)
    return writes


def _read(path: Path) -> list[Write]:
    found: dict[int, Write] = {}
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines, start=1):
        if not line or number == len(lines):
            continue
        try:
            record = json.loads(line)
            if "intent" in record:
                found[record["intent"]] = _intended(record)
            else:
                found[record["settled"]] = _settled(found[record["settled"]], record)
        except (ValueError, KeyError) as exc:
            raise ValueError(f"cannot read journal {str(path)!r}: line {number} is broken") from exc
    return list(found.values())


def _intended(record: Mapping[str, Any]) -> Write:
    return Write(
        number=record["intent"],
        operation=record["operation"],
        key=record["key"],
        body=record["body"],
        line_no=record["line_no"],
        sent_at=record["at"],
        outcome=Outcome.UNKNOWN,
        answered_at=None,
        status=None,
        order_id=None,
    )


def _settled(write: Write, record: Mapping[str, Any]) -> Write:
    return write._replace(
        outcome=Outcome(record["outcome"]),
        answered_at=record["at"],
        status=record["status"],
        order_id=record["order_id"],
    )
