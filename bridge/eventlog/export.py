"""Export the log as a bundle that a third party verifies offline, with none of our code.

A bundle is a folder:
- `leaves.jsonl`: the exact leaf of each entry, one a line;
- `payloads.jsonl`: the exact payload of each entry, one a line;
- `hashes.bin`: the leaf hash of each entry, 32 bytes each, so that a verifier can name a bad one;
- `checkpoint.txt`: the signed tree head over exactly these entries;
- `key.txt`: the public key, which proves nothing unless it is also known from elsewhere;
- `manifest.json`: who asked for it and why, and lines, bytes and SHA-256 of each file;
- `manifest.note`: a signed note with the manifest's length and SHA-256.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from bridge.eventlog.inspection import READ_COUNT, Progress, check_entries, no_progress
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.signer import sync_folder
from bridge.model.entry import EntryDraft, EntryKind, TreeHead
from bridge.model.errors import ConfigInvalid, LogCorrupt, StorageUnavailable

MANIFEST_FORMAT = "legacy-bridge-export"
MANIFEST_VERSION = 1

MANIFEST_NOTE_TITLE = "legacy-bridge export manifest v1"
"""First line of the manifest's note; no log can have it as its origin, as it holds spaces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """What an export wrote."""

    folder: Path
    head: TreeHead
    vkey: str
    """The key to verify with; give it to the auditor on another way than the bundle."""
    entry_id: str
    """The entry of the log that records this export; the bundle holds it too."""
    size_bytes: int


def export(
    log: EventLogStore,
    head_signer: HeadSigner,
    folder: Path,
    *,
    actor: str,
    reason: str,
    progress: Progress = no_progress,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> ExportReport:
    """Write everything that is in the log now to `folder`, in bounded memory.

    The export is first recorded in the log, so none goes unrecorded, whether it succeeds or not.
    The folder appears under its name only when it is complete.

    Raises:
        ConfigInvalid: actor or reason is missing, or `folder` exists.
        LogCorrupt: the log is not what was appended or signed; nothing is exported.
        StorageUnavailable: the log cannot be read, or the folder not written.
    """
    if not actor.strip() or not reason.strip():
        raise ConfigInvalid("cannot export the event log: it needs an actor and a reason")
    if folder.exists():
        raise ConfigInvalid(
            f"cannot export the event log to {str(folder)!r}: it exists; name a new folder"
        )
    created = now().astimezone(UTC).isoformat(timespec="milliseconds")
    draft = _record(actor, reason, created)
    log.append([draft])
    head, checkpoint = head_signer.sign()
    manifest = {
        "format": MANIFEST_FORMAT,
        "version": MANIFEST_VERSION,
        "origin": head_signer.signer.origin,
        "created": created,
        "actor": actor,
        "reason": reason,
        "entry_id": draft.entry_id,
        "range": {"start": 0, "stop": head.size},
    }
    try:
        with _new_folder(folder) as bundle:
            files = _write_entries(log, head, bundle, progress)
            files["checkpoint.txt"] = _write_file(bundle / "checkpoint.txt", checkpoint)
            files["key.txt"] = _write_file(
                bundle / "key.txt", f"{head_signer.signer.vkey}\n".encode()
            )
            _write_manifest(bundle, {**manifest, "files": files}, head_signer)
    except OSError as exc:
        raise StorageUnavailable(
            f"cannot export the event log to {str(folder)!r}: {exc.strerror}; "
            "check the folder's disk and rights, then export again"
        ) from exc
    return ExportReport(
        folder=folder,
        head=head,
        vkey=head_signer.signer.vkey,
        entry_id=draft.entry_id,
        size_bytes=sum(file["bytes"] for file in files.values()),
    )


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder that gets its name `folder` only when all went well."""
    draft = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}")
    draft.mkdir(parents=True)
    try:
        yield draft
        sync_folder(draft)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _record(actor: str, reason: str, created: str) -> EntryDraft:
    """Return the entry that records the export; free text stays out of the leaf."""
    payload = {"actor": actor, "reason": reason, "time": created}
    return EntryDraft(
        kind=EntryKind.EXPORT,
        entry_id=f"export:{created}:{secrets.token_hex(8)}",
        fields={"time": created},
        payload=orjson.dumps(payload, option=orjson.OPT_SORT_KEYS),
    )


def _write_entries(
    log: EventLogStore, head: TreeHead, folder: Path, progress: Progress
) -> dict[str, dict[str, Any]]:
    """Write the three files of entries, checked on the way; return what the manifest says."""
    with (
        _BundleFile(folder / "leaves.jsonl") as leaves,
        _BundleFile(folder / "payloads.jsonl") as payloads,
        _BundleFile(folder / "hashes.bin") as hashes,
    ):
        for start in range(0, head.size, READ_COUNT):
            count = min(READ_COUNT, head.size - start)
            entries = log.read(start, count)
            stored = log.leaf_hashes(start, start + count)
            check_entries(start, entries, stored, count)
            for entry in entries:
                if b"\n" in entry.leaf or b"\n" in entry.payload:
                    raise LogCorrupt(
                        f"cannot export entry {entry.leaf_index}: it holds a line feed, which "
                        "our JSON never does"
                    )
            leaves.write([entry.leaf + b"\n" for entry in entries], count)
            payloads.write([entry.payload + b"\n" for entry in entries], count)
            hashes.write(stored, count)
            progress(start + count, head.size)
        return {file.path.name: file.description() for file in (leaves, payloads, hashes)}


def _write_manifest(folder: Path, manifest: dict[str, Any], head_signer: HeadSigner) -> None:
    data = orjson.dumps(manifest, option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2) + b"\n"
    _write_file(folder / "manifest.json", data)
    text = f"{MANIFEST_NOTE_TITLE}\n{len(data)}\n{sha256(data).hexdigest()}\n"
    _write_file(folder / "manifest.note", head_signer.signer.sign(text))


def _write_file(path: Path, data: bytes) -> dict[str, Any]:
    with _BundleFile(path) as file:
        file.write([data], data.count(b"\n"))
    return file.description()


class _BundleFile:
    """A file that knows what the manifest says of it, and is on disk when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("xb")
        self._digest = sha256()
        self._bytes = 0
        self._records = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._file:
            if exc is None:
                self._file.flush()
                os.fsync(self._file.fileno())

    def write(self, parts: list[bytes], records: int) -> None:
        """Append `parts`, which hold `records` lines or hashes."""
        data = b"".join(parts)
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)
        self._records += records

    def description(self) -> dict[str, Any]:
        """Return records, bytes and SHA-256 of what was written."""
        return {
            "records": self._records,
            "bytes": self._bytes,
            "sha256": self._digest.hexdigest(),
        }
