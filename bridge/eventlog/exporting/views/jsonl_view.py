"""One JSON object for each selected entry: the leaf's facts and the flattened event."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from bridge.eventlog.exporting.bundle_file import BundleFile, FileFacts
from bridge.eventlog.exporting.views.numbers import json_line
from bridge.eventlog.exporting.views.rows import Row, Table

PATH: Final = "views/entries.jsonl"

# A write for each row would cost more than making it.
_BATCH: Final = 500


class JsonlView:
    """Writes `views/entries.jsonl`."""

    def __init__(self, bundle: Path) -> None:
        self._file = BundleFile(bundle / PATH, "view")
        self._lines: list[bytes] = []

    def add(self, row: Row, tables: tuple[Table, ...]) -> None:
        """Write one object; what is null is left out."""
        told = {
            name: value.isoformat(sep=" ") if isinstance(value, datetime) else value
            for name, value in row.facts.items()
            if value is not None and name != "fields"
        }
        # The leaf's facts last: a payload cannot speak for the log.
        self._lines.append(json_line({**row.attributes, **row.data, **told}))
        if len(self._lines) == _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._file.write(b"".join(self._lines), len(self._lines))
        self._lines = []

    def finish(self) -> Iterator[tuple[str, FileFacts]]:
        """Make it durable."""
        self._flush()
        yield PATH, self._file.sync()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
