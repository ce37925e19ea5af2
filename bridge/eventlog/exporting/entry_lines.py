"""Read back the selected entries of a draft, line by line, in bounded memory."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class SelectedEntry(NamedTuple):
    """A selected entry as it stands in the bundle."""

    leaf_index: int
    leaf: bytes
    payload: bytes


def selected_entries(bundle: Path, start: int) -> Iterator[SelectedEntry]:
    """Yield the selected entries of a bundle whose range begins at `start`, in order."""
    selection = bundle / "selection.bin"
    with (bundle / "leaves.jsonl").open("rb") as leaves, (bundle / "payloads.jsonl").open(
        "rb"
    ) as payloads:  # fmt: skip
        if not selection.exists():
            for index, (leaf, payload) in enumerate(zip(leaves, payloads, strict=True), start):
                yield SelectedEntry(index, leaf[:-1], payload[:-1])
            return
        with selection.open("rb") as file:
            position = start
            while record := file.read(8):
                index = int.from_bytes(record, "big")
                while position < index:
                    leaves.readline()
                    position += 1
                yield SelectedEntry(index, leaves.readline()[:-1], payloads.readline()[:-1])
                position += 1
