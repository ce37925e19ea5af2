"""JSON log lines, and the observer that counts what services note.

A role's counts live in one small file of `run/`, replaced atomically each second: `status`, the
control API and `/metrics` read those files, so that no role has to answer a port to be seen.
"""

import json
import logging
import os
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

# Fast enough for a person who watches, slow enough to cost nothing.
WRITE_INTERVAL_S = 1.0

# Notes that an operator would miss if they were gone; the rest is DEBUG.
_INFO = frozenset(
    {
        "started", "stopped", "connected", "reconnected", "disconnected", "snapshot_started",
        "snapshot_done", "snapshot_progress", "switched", "rolled_back", "table_swapped",
        "checkpoint_signed", "replayer_started", "role_started", "role_ended",
        "queue_sender_started",
        "gap_closed", "wal_guard_lowered", "webhook_sent", "cosigned", "witness_lowered",
        "log_keys_changed", "timestamped", "canary_back", "timestamp_lowered", "tls_reloaded",
    }
)  # fmt: skip
# pika tells what it did not expect even where we do: a channel that is gone when its answer comes
# is CRITICAL to it, a queue that is not there yet a WARNING. Our adapter hears the same as errors.
_SILENCED = "pika"
_WARNING_WORDS = (
    "failed", "lost", "parked", "in_doubt", "unroutable", "refused", "sink_blocked", "interrupted",
    "orphaned", "unreadable", "not_recorded", "not_stored", "delayed", "early",
    "poll_window", "poll_found_unknown", "gap_found", "gap_waits", "wal_guard_raised",
    "drift", "catalog_changed", "not_published", "not_read", "witness_raised", "conflict",
    "timestamp_raised", "drill_",
)  # fmt: skip


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, role, event name, facts."""

    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        """Return `record` as one line of JSON."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "role": self._role,
            "event": record.getMessage(),
        }
        for name, value in getattr(record, "facts", {}).items():
            line.setdefault(name, value)  # None takes the place of what every line has.
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = f"{type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def start_logging(role: str, level: str) -> logging.Logger:
    """Send this process's log lines to standard error as JSON and return the logger."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(role))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)  # Libraries: only what went wrong.
    logging.getLogger(_SILENCED).setLevel(logging.CRITICAL + 1)
    logger = logging.getLogger("legacy_bridge")
    logger.setLevel(level.upper())
    return logger


class RunFileObserver:
    """Counts notes, logs the telling ones and keeps the role's run file fresh."""

    def __init__(self, role: str, run_dir: Path, logger: logging.Logger) -> None:
        self._role = role
        self._path = run_dir / f"{role.replace(':', '.')}.json"
        self._logger = logger
        self._lock = threading.Lock()
        self._counts: dict[str, float] = {}
        self._last: dict[str, float | str] = {}
        self._started_at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write_loop, name="run-file", daemon=True)

    def note(self, name: str, **facts: int | float | str) -> None:
        """Count `name` and its numeric facts; remember the latest values; log it."""
        with self._lock:
            self._counts[name] = self._counts.get(name, 0) + 1
            for fact, value in facts.items():
                if isinstance(value, str):
                    self._last[f"{name}.{fact}"] = value
                else:
                    total = f"{name}.{fact}"
                    self._counts[total] = self._counts.get(total, 0) + value
                    self._last[total] = value
        if any(word in name for word in _WARNING_WORDS):
            level = logging.WARNING
        else:
            level = logging.INFO if name in _INFO else logging.DEBUG
        if self._logger.isEnabledFor(level):
            self._logger.log(level, name, extra={"facts": facts})

    def start(self) -> None:
        """Begin to keep the run file."""
        self.write()
        self._thread.start()

    def stop(self) -> None:
        """Write once more and remove nothing: the last counts stay readable."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=2 * WRITE_INTERVAL_S)
        self.write()

    def write(self) -> None:
        """Replace the run file by the present counts; a full disk must not stop the role."""
        with self._lock:
            body = {
                "role": self._role,
                "pid": os.getpid(),
                "started_at": self._started_at,
                "updated_at": time.time(),
                "counts": dict(self._counts),
                "last": dict(self._last),
            }
        temporary = self._path.with_suffix(".json.new")
        try:
            temporary.write_text(json.dumps(body), encoding="utf-8")
            temporary.replace(self._path)
        except OSError as exc:
            self._logger.warning("run_file_failed", extra={"facts": {"error": str(exc)}})

    def _write_loop(self) -> None:
        while not self._stop.wait(WRITE_INTERVAL_S):
            self.write()
