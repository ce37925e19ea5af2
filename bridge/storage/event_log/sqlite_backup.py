"""Copy a SQLite file while others write it: one moment of it, whole."""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from bridge.storage.sqlite_file import explained

# 16 MB: a step is well below a second, so that progress is seen and Ctrl-C is heard.
STEP_PAGES = 4_096


def copy_sqlite(
    source: Path, target: Path, *, progress: Callable[[int, int], None] = lambda _, __: None
) -> None:
    """Copy the file at `source` to a new file `target`, readable by its owner only, durably.

    The copy is the file as of one commit. Writers go on meanwhile; their write-ahead log cannot be
    started afresh until the copy is done, so it grows by what they write.

    Raises:
        StorageUnavailable: a file cannot be read or written; what was copied stays behind.
        LogCorrupt: `source` is damaged.
    """
    with explained("copy to", target):
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            # A read that stays open pins the moment: else each commit of others would make the
            # copy begin again.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
            reader.backup(
                writer,
                pages=STEP_PAGES,
                progress=lambda _, left, total: progress(total - left, total),
                sleep=0,
            )
        with target.open("rb") as file:
            os.fsync(file.fileno())
