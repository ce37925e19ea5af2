"""Write the entries of a range: leaves, hashes, selected payloads, and which are selected.

In bounded memory, checked on the way against the stored hashes and at the end against the signed
head, so that a log that is not what was signed is refused here and not by the auditor.
"""

import struct
from binascii import hexlify
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from orjson import dumps

from bridge.eventlog.exporting.bundle_file import BundleFile, FileFacts
from bridge.eventlog.exporting.order import ExportOrder
from bridge.eventlog.exporting.ports import Selector
from bridge.eventlog.exporting.range_proof import folded_root, left_nodes, right_nodes
from bridge.eventlog.inspection import check_entries
from bridge.eventlog.leaf import LEAF_VERSION, PAYLOAD_HASH_SPAN
from bridge.eventlog.merkle import Frontier
from bridge.eventlog.ports import EventLogReader
from bridge.eventlog.stored_hashes import StoredHashes
from bridge.model.entry import EntryKind, StoredEntry, TreeHead
from bridge.model.errors import ConfigInvalid, LogCorrupt

# About 2 MB of entries at a time, whatever the size of the log.
READ_COUNT: Final = 2_000

FILES: Final = {
    "leaves.jsonl": "leaves",
    "hashes.bin": "hashes",
    "payloads.jsonl": "payloads",
}
SELECTION: Final = "selection.bin"

# Sorted keys of a leaf put its fields' contract there; JSON text never holds a bare quote.
_CONTRACT: Final = b'"dataschema":"'
_LINE_FEED: Final = ord("\n")

_ENDS: Final = {
    kind: b',"kind":"%b","v":%d}' % (kind.value.encode(), LEAF_VERSION) for kind in EntryKind
}


class EntryFiles:
    """The files of entries while they grow; `state` and `restored` carry them over a crash."""

    def __init__(
        self,
        log: EventLogReader,
        bundle: Path,
        order: ExportOrder,
        span: tuple[int, int],
        roots: Mapping[int, bytes],
        selector: Selector | None = None,
        known: dict[str, Any] | None = None,
    ) -> None:
        """Begin, or go on after `known`, a state from before.

        Args:
            log: the log to read.
            bundle: where the files are.
            order: what to select.
            span: first index, and the index after the last.
            roots: size → root of signed heads that lie in the span.
            selector: finds the entries that the order's conditions select.
            known: what `state` returned last.
        """
        self._log, self._order, self._selector = log, order, selector
        self._roots = roots
        self.start, self.stop = span
        facts = {} if known is None else known["files"]
        names = dict(FILES) | ({SELECTION: "selection"} if order.is_filtered else {})
        self._files: dict[str, BundleFile] = {}
        try:
            for name, role in names.items():
                was = FileFacts.from_json(facts[name]) if name in facts else None
                self._files[name] = BundleFile(bundle / name, role, was)
            self._begin(known)
        except BaseException:
            self.close()
            raise

    def _begin(self, known: dict[str, Any] | None) -> None:
        if known is None:
            peaks = StoredHashes(self._log).read_hashes(left_nodes(self.start))
            self._frontier = Frontier(size=self.start, peaks=tuple(peaks))
            self.selected = 0
            self.contracts: set[bytes] = set()
            self.reached = False
        else:
            self._frontier = Frontier.from_bytes(bytes.fromhex(known["frontier"]))
            self.selected = known["selected"]
            self.contracts = {text.encode() for text in known["contracts"]}
            self.reached = known["reached"]
            self.stop = known["stop"]
        self._asked = self._ask()

    def _ask(self) -> "_Ahead | None":
        if not self._order.conditions:
            return None
        if self._selector is None:
            raise ConfigInvalid(
                "cannot select by business values: this log has no index; leave the conditions out "
                "and select from the whole export"
            )
        found = self._selector.indices(self._order.conditions, self.position, self.stop)
        return _Ahead(found)

    @property
    def position(self) -> int:
        """Return the index of the next entry to write."""
        return self._frontier.size

    def state(self) -> dict[str, Any]:
        """Put everything on disk and return where it is."""
        return {
            "files": {name: file.sync().as_json() for name, file in self._files.items()},
            "frontier": self._frontier.to_bytes().hex(),
            "selected": self.selected,
            "contracts": sorted(text.decode() for text in self.contracts),
            "reached": self.reached,
            "stop": self.stop,
        }

    def write_next(self) -> None:
        """Write the next entries; `position` says how far that went.

        Raises:
            LogCorrupt: names the first entry that is not what was appended.
        """
        start = self.position
        count = min(READ_COUNT, self.stop - start)
        entries = self._log.read(start, count)
        hashes = _checked(start, entries, self._log.leaf_hashes(start, start + count), count)
        chosen = self._chosen(entries)
        if self.stop < start + count:
            count = self.stop - start
            entries, hashes = entries[:count], hashes[:count]
        self._check_payloads(chosen)
        files = self._files
        files["leaves.jsonl"].write(_lines([entry.leaf for entry in entries]), count)
        files["hashes.bin"].write(b"".join(hashes), count)
        files["payloads.jsonl"].write(_lines([entry.payload for entry in chosen]), len(chosen))
        if self._order.is_filtered:
            indices = struct.pack(f">{len(chosen)}Q", *[entry.leaf_index for entry in chosen])
            files[SELECTION].write(indices, len(chosen))
        self.selected += len(chosen)
        for entry in chosen:
            at = entry.leaf.find(_CONTRACT)
            if at >= 0:
                first = at + len(_CONTRACT)
                self.contracts.add(entry.leaf[first : entry.leaf.index(b'"', first)])
        self._grow(hashes)

    def _chosen(self, entries: Sequence[StoredEntry]) -> Sequence[StoredEntry]:
        """Return the selected entries; a limit that is reached brings the stop forward."""
        if self._order.is_filtered:
            selects, asked = self._order.filter.selects, self._asked
            entries = [
                entry
                for entry in entries
                if (asked is None or asked.holds(entry.leaf_index))
                and selects(entry.kind._value_, entry.leaf)
            ]
        most = self._order.entries_max
        if most is not None and self.selected + len(entries) > most:
            kept = most - self.selected
            self.reached = True
            self.stop = entries[kept].leaf_index
            entries = entries[:kept]
        return entries

    def _check_payloads(self, entries: Sequence[StoredEntry]) -> None:
        for index, _, _, _, _, leaf, payload in entries:
            if hexlify(sha256(payload).digest()) != leaf[PAYLOAD_HASH_SPAN]:
                raise LogCorrupt(
                    f"event log is not what was appended: entry {index} has another payload than "
                    "its leaf commits to; nothing is exported, compare the store with its last "
                    "export"
                )
            if _LINE_FEED in payload or _LINE_FEED in leaf:
                raise LogCorrupt(
                    f"cannot export entry {index}: it holds a line feed, which our JSON never does"
                )

    def _grow(self, hashes: Sequence[bytes]) -> None:
        """Grow the tree, and compare it with each signed head on the way."""
        stop = self.position + len(hashes)
        at = 0
        for size in sorted(size for size in self._roots if self.position < size <= stop):
            part = size - self.position
            self._frontier, _ = self._frontier.extend(hashes[at : at + part])
            at += part
            if self._frontier.root() != self._roots[size]:
                raise LogCorrupt(
                    f"event log is not what was signed: its first {size} entries have root "
                    f"{self._frontier.root().hex()[:8]}…, the checkpoint says "
                    f"{self._roots[size].hex()[:8]}…; nothing is exported"
                )
        self._frontier, _ = self._frontier.extend(hashes[at:])

    def proof(self, head: TreeHead) -> dict[str, list[str]]:
        """Return the proof that the range is in `head`; raises `LogCorrupt` when it is not."""
        reader = StoredHashes(self._log)
        left = reader.read_hashes(left_nodes(self.start))
        nodes = right_nodes(self.stop, head.size)
        right = reader.read_hashes(nodes)
        root = folded_root(self._frontier, nodes, right)
        if root != head.root:
            raise LogCorrupt(
                f"event log is not what was signed: entries {self.start} to {self.stop - 1} give "
                f"root {root.hex()[:8]}… for {head.size} entries, signed was "
                f"{head.root.hex()[:8]}…; nothing is exported"
            )
        return {"left": [node.hex() for node in left], "right": [node.hex() for node in right]}

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()


class _Ahead:
    """Ascending indices, asked for in ascending order."""

    def __init__(self, indices: Iterator[int]) -> None:
        self._indices = indices
        self._next = next(indices, None)

    def holds(self, index: int) -> bool:
        while self._next is not None and self._next < index:
            self._next = next(self._indices, None)
        return self._next == index


def _checked(
    start: int, entries: Sequence[StoredEntry], stored: list[bytes], count: int
) -> list[bytes]:
    """Return the leaf hashes of `count` entries, which are as they were appended."""
    hashes = [sha256(b"\x00" + leaf).digest() for _, _, _, _, _, leaf, _ in entries]
    good = len(entries) == count and hashes == stored
    for index, (leaf_index, kind, entry_id, _, _, leaf, _) in enumerate(entries, start):
        # Leaves end with what the columns must say; comparing needs no parsing.
        tail = b',"id":%b,"index":%d%b' % (dumps(entry_id), index, _ENDS[kind])
        if leaf_index != index or not leaf.endswith(tail):
            good = False
    if not good:
        check_entries(start, entries, stored, count)  # It names what is wrong.
        raise LogCorrupt(
            f"event log is not what was appended: entries {start} to {start + count - 1} have "
            "leaves of an unknown form; nothing is exported"
        )
    return hashes


def _lines(parts: list[bytes]) -> bytes:
    return b"\n".join([*parts, b""])
