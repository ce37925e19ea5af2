"""The routes that the gateway works by: stored copies of route files, and a pointer to one of them.

    routes/applied/SHA256/*.yaml …   a copy, never changed once it is there
    routes/applied/SHA256/openapi/…  the documents that routes name
    routes/current.json              which copy is in force, and which one was before it

An edited file takes no effect until it is applied, and then all files do at once: the copy is
durable before the pointer names it, and the pointer is replaced in one rename. A crash in between
leaves a copy that nobody uses.
"""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.eventlog.durable_files import replace_file, sync_folder
from bridge.model.errors import ConfigInvalid, StaleEpoch, StorageUnavailable

# Route files, and the keys of token issuers that they name.
_KINDS: Final = frozenset({".yaml", ".yml", ".pem", ".jwks"})
# The folder of documents that routes name, with folders in it, and what is taken of it.
_DOCUMENTS: Final = "openapi"
_DOCUMENT_KINDS: Final = frozenset({".yaml", ".yml", ".json"})
# Routes of a whole company are below one megabyte; more is another folder.
_BYTES_MAX: Final = 32 * 1024 * 1024
_FILES_MAX: Final = 10_000
# To go back to; older ones are in the deployment's own history.
_COPIES_KEPT: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """One copy, and how it came into force."""

    digest: str
    """SHA-256 over the lines `HASH  NAME` of its files, as `sha256sum` prints them."""
    folder: Path
    previous: str | None
    """Digest of the copy before it."""
    applied_at: str


def read_files(folder: Path) -> dict[str, bytes]:
    """Return name → content of the route files in `folder`.

    Raises:
        ConfigInvalid: they cannot be read, or are too many or too large.
    """
    found: dict[str, bytes] = {}
    size = 0
    try:
        for path in sorted(folder.iterdir()):
            if path.suffix in _KINDS and not path.name.startswith(".") and path.is_file():
                found[path.name] = path.read_bytes()
                size += len(found[path.name])
        for path in sorted((folder / _DOCUMENTS).rglob("*")):
            if path.suffix in _DOCUMENT_KINDS and not path.name.startswith(".") and path.is_file():
                name = path.relative_to(folder).as_posix()
                found[name] = path.read_bytes()
                size += len(found[name])
    except OSError as exc:
        raise ConfigInvalid(f"cannot read routes in {str(folder)!r}: {exc.strerror}") from exc
    if size > _BYTES_MAX or len(found) > _FILES_MAX:
        raise ConfigInvalid(
            f"cannot use routes in {str(folder)!r}: {len(found)} files of {size} bytes; at most"
            f" {_FILES_MAX} files of {_BYTES_MAX} bytes are taken"
        )
    return found


def digest_of(files: Mapping[str, bytes]) -> str:
    """Return the digest of a set of files."""
    lines = (
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(files.items())
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


class AppliedRoutes:
    """The copies of one gateway; every process of it opens them for itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pointer = folder / "current.json"

    def current(self) -> Applied | None:
        """Return the copy that is in force; None when none ever was.

        Raises:
            StorageUnavailable: the pointer or its copy is damaged.
        """
        try:
            tree = json.loads(self._pointer.read_bytes())
            found = Applied(
                digest=tree["digest"],
                folder=self._copy(tree["digest"]),
                previous=tree["previous"],
                applied_at=tree["applied_at"],
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise StorageUnavailable(
                f"cannot read {str(self._pointer)!r}: {type(exc).__name__}; put the file back, or"
                " remove it and start anew with the files of the settings"
            ) from exc
        return found

    def files(self, digest: str) -> dict[str, bytes]:
        """Return the files of a copy, checked against its name.

        Raises:
            StorageUnavailable: there is no such copy, or its files were changed.
        """
        try:
            files = read_files(self._copy(digest))
        except ConfigInvalid as exc:
            raise StorageUnavailable(f"cannot use applied routes {digest[:12]}: {exc}") from exc
        if digest_of(files) != digest:
            raise StorageUnavailable(
                f"cannot use applied routes {digest[:12]}: files in {str(self._copy(digest))!r}"
                " were changed or removed; put them back, or apply the routes again"
            )
        return files

    def folder_of(self, digest: str) -> Path:
        """Return where the files of a copy are; raises as `files` does."""
        self.files(digest)
        return self._copy(digest)

    def keep(self, files: Mapping[str, bytes]) -> str:
        """Make a durable copy of `files`; return its digest.

        Raises:
            StorageUnavailable: it cannot be written.
        """
        digest = digest_of(files)
        # Workers that start together for the first time all want to make the same copy.
        with self._locked():
            self._keep(digest, files)
        return digest

    def put_in_force(self, digest: str, *, instead_of: str | None, at: str) -> Applied:
        """Let the pointer name a copy; `at` is the time, for people.

        Raises:
            StaleEpoch: another copy than `instead_of` is in force.
            StorageUnavailable: it cannot be written; what was in force still is.
        """
        with self._locked():
            now = self.current()
            found = None if now is None else now.digest
            if found != instead_of:
                raise StaleEpoch(
                    "cannot apply routes: the gateway works by"
                    f" {'none' if found is None else found[:12]}, not by"
                    f" {'none' if instead_of is None else instead_of[:12]}; plan again"
                )
            tree = {"digest": digest, "previous": found, "applied_at": at}
            try:
                replace_file(self._pointer, json.dumps(tree).encode())
            except OSError as exc:
                raise StorageUnavailable(f"cannot write {str(self._pointer)!r}: {exc}") from exc
            self._forget(keep={digest, found or digest})
        return Applied(digest=digest, folder=self._copy(digest), previous=found, applied_at=at)

    def _keep(self, digest: str, files: Mapping[str, bytes]) -> None:
        target = self._copy(digest)
        try:
            if target.is_dir() and digest_of(read_files(target)) == digest:
                return
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = target.with_name(f".{digest[:12]}.{secrets.token_hex(8)}")
            draft.mkdir()
            for name, content in files.items():
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                # A key file may hold a secret (HS256).
                descriptor = os.open(draft / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for folder in (draft, *(path for path in draft.rglob("*") if path.is_dir())):
                sync_folder(folder)
            shutil.rmtree(target, ignore_errors=True)  # One that somebody damaged.
            draft.rename(target)
            sync_folder(target.parent)
        except OSError as exc:
            raise StorageUnavailable(f"cannot copy routes to {str(target)!r}: {exc}") from exc

    def _copy(self, digest: str) -> Path:
        return self._folder / "applied" / digest

    def _forget(self, keep: set[str]) -> None:
        copies = [path for path in (self._folder / "applied").iterdir() if path.name not in keep]
        copies.sort(key=lambda path: path.stat().st_mtime)
        for path in copies[: max(0, len(copies) - _COPIES_KEPT)]:
            shutil.rmtree(path, ignore_errors=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Let one process at a time look and point."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock = (self._folder / ".lock").open("w")
        except OSError as exc:
            raise StorageUnavailable(f"cannot lock {str(self._folder)!r}: {exc}") from exc
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
