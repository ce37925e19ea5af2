"""A file of a bundle: it knows what the manifest says of it, and where it can go on."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self

from bridge.model.errors import ConfigInvalid

_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What the manifest says of a file."""

    role: str
    records: int
    size_bytes: int
    sha256: str
    """Lower-case hex."""

    def as_json(self) -> dict[str, Any]:
        """Return the value that stands in the manifest."""
        return {
            "role": self.role,
            "records": self.records,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
        }

    @classmethod
    def from_json(cls, tree: dict[str, Any]) -> Self:
        """Return the facts that `as_json` wrote."""
        return cls(
            role=tree["role"],
            records=tree["records"],
            size_bytes=tree["bytes"],
            sha256=tree["sha256"],
        )


class BundleFile:
    """A file that is only appended to; `sync` says what of it is on disk.

    With `known`, what an interrupted run made durable, it goes on after exactly that.

    Raises:
        ConfigInvalid: the file is not what the interrupted run left.
        OSError: the file cannot be made or written.
    """

    def __init__(self, path: Path, role: str, known: FileFacts | None = None) -> None:
        self.path = path
        self._role = role
        self._digest = sha256()
        self._bytes = self._records = 0
        if known is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # What a killed run left without noting it is written anew.
            self._file = path.open("wb")
        else:
            self._file = self._reopened(known)

    def _reopened(self, known: FileFacts) -> Any:
        """Return the file at the end of what is known; what stands behind it was never noted."""
        try:
            file = self.path.open("r+b")
        except FileNotFoundError:
            raise _changed(self.path, "it is gone") from None
        left = known.size_bytes
        while left:
            piece = file.read(min(left, _PIECE_BYTES))
            if not piece:
                file.close()
                raise _changed(self.path, f"{left} of {known.size_bytes} bytes are missing")
            self._digest.update(piece)
            left -= len(piece)
        if self._digest.hexdigest() != known.sha256:
            file.close()
            raise _changed(self.path, f"its first {known.size_bytes} bytes are not what was noted")
        file.truncate(known.size_bytes)
        file.seek(known.size_bytes)
        self._bytes, self._records = known.size_bytes, known.records
        return file

    def write(self, data: bytes, records: int) -> None:
        """Append `data`, which holds `records` lines, hashes or rows."""
        self._file.write(data)
        self._digest.update(data)
        self._bytes += len(data)
        self._records += records

    def sync(self) -> FileFacts:
        """Put everything on disk and return what it is."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return FileFacts(
            role=self._role,
            records=self._records,
            size_bytes=self._bytes,
            sha256=self._digest.hexdigest(),
        )

    def close(self) -> None:
        """Close the file; may be called twice. What was not synced may be lost.

        It does not raise: what could not be written was said by `write` or `sync`.
        """
        # A full disk refuses the buffered rest again; the next run would cut it off anyway.
        with suppress(OSError):
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write_whole(path: Path, role: str, parts: Iterable[bytes], records: int) -> FileFacts:
    """Write a file from the start, durably; return what it is."""
    with BundleFile(path, role) as file:
        for part in parts:
            file.write(part, 0)
        file.write(b"", records)
        return file.sync()


def read_facts(path: Path, role: str, records: int) -> FileFacts:
    """Make a file durable that somebody else wrote; return what it is."""
    digest, size = sha256(), 0
    with path.open("r+b") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            size += len(piece)
        os.fsync(file.fileno())
    return FileFacts(role=role, records=records, size_bytes=size, sha256=digest.hexdigest())


def _changed(path: Path, why: str) -> ConfigInvalid:
    return ConfigInvalid(
        f"cannot resume the export: {str(path)!r} was changed since it was interrupted: {why}; "
        "remove the draft folder and export anew"
    )
