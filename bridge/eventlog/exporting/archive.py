"""One file of a bundle's folder, the same bytes for the same bundle."""

import os
import tarfile
from pathlib import Path

from bridge.eventlog.durable_files import sync_folder
from bridge.model.errors import StorageUnavailable


def pack(folder: Path, file: Path) -> None:
    """Write the files of `folder` into the tar `file`, which appears only when it is complete.

    Names in order and no times, owners or rights, so two packings are equal byte for byte.

    Raises:
        StorageUnavailable: it cannot be written; the folder is complete all the same.
    """
    draft = file.with_name(f".{file.name}.packing")
    try:
        with draft.open("wb") as sink:
            with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for path in sorted(folder.rglob("*")):
                    if path.is_file():
                        _add(archive, path, path.relative_to(folder.parent).as_posix())
            sink.flush()
            os.fsync(sink.fileno())
        draft.replace(file)
        sync_folder(file.absolute().parent)
    except OSError as exc:
        raise StorageUnavailable(
            f"cannot pack the bundle into {str(file)!r}: {exc.strerror or exc}; the bundle itself "
            f"is complete in {str(folder)!r}"
        ) from exc
    finally:
        draft.unlink(missing_ok=True)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = path.stat().st_size
    entry.mode = 0o644
    with path.open("rb") as content:
        archive.addfile(entry, content)
