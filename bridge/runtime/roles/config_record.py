"""The entry of a configuration: under which settings, contracts and routes a role works.

It is written when a role starts with a configuration that is not the one recorded last for roles
of its kind; the file `recorded-configuration.json` in the data folder remembers which that was.
"""

import fcntl
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bridge import __version__
from bridge.eventlog.records.action_record import action_draft
from bridge.eventlog.records.attempt import Tell, log_tell
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import StorageUnavailable
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.stores import Stores

FILES_MAX: Final = 10_000
"""Contracts and routes beyond this many are counted, not listed: an entry is no archive."""

_FILE: Final = "recorded-configuration.json"
_LOCK: Final = "recorded-configuration.lock"

# Where a secret may stand. What is left out of the digest is also left out of the entry.
_SECRET: Final = re.compile(r"(^|_)(dsn|url|token|password|secret|webhook)$")

# Roles that work while the event log is away: theirs waits in the journal, where there is one.
_BY_JOURNAL: Final = ("gateway", "replay", "control")


def record_configuration(stores: Stores, role: str) -> bool:
    """Record the configuration that `role` starts with; return whether it was a new one.

    Raises:
        StorageUnavailable: it could not be recorded: the role must not work unrecorded.
    """
    kind = role.partition(":")[0]
    routes = None
    if stores.settings.gateway is not None:
        routes = stores.routes_in_force().folder
    fields, payload = describe(stores.settings, routes)
    digest = _digest(json.dumps(fields, sort_keys=True).encode())
    data_dir = stores.run_dir.parent
    with _locked(data_dir / _LOCK):
        path = data_dir / _FILE
        recorded = _read(path)
        if recorded.get(kind) == digest:
            return False
        _tell(stores, kind)(_entry(kind, recorded.get(kind), digest, fields, payload))
        _write(path, {**recorded, kind: digest})
    return True


def describe(
    settings: Settings, routes_in_force: Path | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what leaf and payload say of a configuration; secrets are in neither."""
    shown = _without_secrets(settings.model_dump(mode="json"))
    contracts = _files(settings.contracts.dir)
    routes = {} if routes_in_force is None else _files(routes_in_force)
    fields = {
        "version": __version__,
        "settings_sha256": _digest(json.dumps(shown, sort_keys=True).encode()),
        "contracts_sha256": _digest_of(contracts),
        "contracts_count": len(contracts),
        "routes_sha256": _digest_of(routes),
        "routes_count": len(routes),
    }
    return fields, {
        "settings": shown,
        "contracts": dict(list(contracts.items())[:FILES_MAX]),
        "routes": dict(list(routes.items())[:FILES_MAX]),
    }


def _entry(
    kind: str,
    before: str | None,
    digest: str,
    fields: Mapping[str, Any],
    payload: Mapping[str, Any],
) -> EntryDraft:
    told = {**fields, "role": kind, "sha256": digest}
    if before is not None:
        told["before_sha256"] = before
    return action_draft(
        EntryKind.CONFIG, "start", None, at=datetime.now(UTC), fields=told, payload=payload
    )


def _tell(stores: Stores, kind: str) -> Tell:
    if kind in _BY_JOURNAL and stores.settings.gateway is not None:
        return stores.desk().tell
    return log_tell(stores.event_log())


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: "(not shown)" if _SECRET.search(key) and inner else _without_secrets(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_without_secrets(inner) for inner in value]
    return value


def _files(folder: Path) -> dict[str, str]:
    """Return path → SHA-256 of every file below `folder`, by path."""
    try:
        return {
            path.relative_to(folder).as_posix(): _digest(path.read_bytes())
            for path in sorted(folder.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }
    except OSError as exc:
        raise StorageUnavailable(f"cannot read {str(folder)!r}: {exc.strerror}") from exc


def _digest_of(files: Mapping[str, str]) -> str:
    """Return the SHA-256 of lines `HASH  PATH`, as `sha256sum` prints them, by path."""
    return _digest("".join(f"{hash_}  {path}\n" for path, hash_ in sorted(files.items())).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one role at a time look and record: workers start together."""
    try:
        with path.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as exc:
        raise StorageUnavailable(f"cannot use {str(path)!r}: {exc.strerror}") from exc


def _read(path: Path) -> dict[str, str]:
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # Lost or damaged: it is recorded once more, which harms nothing.
    return tree if isinstance(tree, dict) else {}


def _write(path: Path, recorded: Mapping[str, str]) -> None:
    new = path.with_suffix(".json.new")
    new.write_text(json.dumps(recorded), encoding="utf-8")
    new.replace(path)
