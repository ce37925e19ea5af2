"""What stands beside the entries: checkpoints, time-stamp tokens, contracts, opened fields."""

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

import orjson

from bridge.eventlog.exporting.bundle_file import FileFacts, write_whole
from bridge.eventlog.exporting.entry_lines import SelectedEntry
from bridge.eventlog.exporting.ports import ContractFiles, Opener, SealedEntry
from bridge.eventlog.ports import CheckpointStore
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import split_note
from bridge.model.entry import TreeHead
from bridge.model.errors import LogCorrupt

CHECKPOINTS_MAX: Final = 1_000
"""What `docs/bundle-format.md` allows: enough for one a day over almost three years."""

# One name of a file or folder: nothing that leads out of the bundle.
_SAFE_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_CONTRACT_URN: Final = re.compile(r"urn:legacy-bridge:contract:([^:]+):([^:]+)")

# A sealed item is a few hundred bytes; a thousand entries at a time keep memory small.
_OPEN_COUNT: Final = 1_000
_SEALED: Final = b'"sealed":'


def checkpoint_sizes(store: CheckpointStore, start: int, stop: int) -> list[int]:
    """Return sizes s of stored checkpoints, start < s ≤ stop: all, or 1,000 spread evenly and the
    newest."""
    found = store.checkpoints(start + 1, CHECKPOINTS_MAX + 1)
    sizes = [size for size, _ in found if size <= stop]
    if len(sizes) <= CHECKPOINTS_MAX:
        return sizes
    step = (stop - start) / CHECKPOINTS_MAX
    spread = {_newest(store, start, stop)}
    for number in range(CHECKPOINTS_MAX - 1):
        for size, _ in store.checkpoints(start + 1 + int(number * step), 1):
            if size <= stop:
                spread.add(size)
    return sorted(spread)


def _newest(store: CheckpointStore, start: int, stop: int) -> int:
    """Return the size of the newest checkpoint up to `stop`; there is one after `start`."""
    low, high, newest = start + 1, stop, start
    while low <= high:
        middle = (low + high) // 2
        found = store.checkpoints(middle, 1)
        if found and found[0][0] <= stop:
            newest = found[0][0]
            low = newest + 1
        else:
            high = middle - 1
    return newest


def stored_note(store: CheckpointStore, size: int) -> bytes | None:
    """Return the checkpoint over `size` entries as it stands now, cosignatures and all."""
    found = store.checkpoints(size, 1)
    return found[0][1] if found and found[0][0] == size else None


def stored_root(store: CheckpointStore, size: int) -> bytes:
    """Return the root that the stored checkpoint of `size` signs; raises `LogCorrupt`.

    Whose signature it bears is for a verifier to say: after a rotation it may be an earlier key's.
    """
    note = stored_note(store, size)
    assert note is not None, f"the checkpoint over {size} entries was there a moment ago"
    _, head = parse_checkpoint(split_note(note)[0])
    if head.size != size:
        raise LogCorrupt(
            f"cannot export the checkpoint kept for {size} entries: it signs {head.size}"
        )
    return head.root


def write_checkpoints(
    store: CheckpointStore, bundle: Path, sizes: Iterable[int]
) -> Iterator[tuple[str, FileFacts]]:
    """Write the earlier checkpoints of `sizes`."""
    for size in sizes:
        note = stored_note(store, size)
        assert note is not None, "checkpoints are never removed"
        path = f"checkpoints/{size}.txt"
        yield path, write_whole(bundle / path, "checkpoint", [note], 1)


def write_tokens(
    store: CheckpointStore, bundle: Path, sizes: Iterable[int]
) -> Iterator[tuple[str, FileFacts]]:
    """Write the time-stamp tokens of the checkpoints of `sizes`."""
    for size in sizes:
        for authority, token in sorted(store.tokens(size).items()):
            name = authority if _SAFE_NAME.fullmatch(authority) else authority.encode().hex()
            path = f"tokens/{size}/{name}.tsr"
            yield path, write_whole(bundle / path, "token", [token], 1)


def contract_name(urn: str) -> tuple[str, str] | None:
    """Return subject and version that the URN of a contract names, or None for another text."""
    found = _CONTRACT_URN.fullmatch(urn)
    if found is None or not all(_SAFE_NAME.fullmatch(part) for part in found.groups()):
        return None
    return found[1], found[2]


def write_contracts(
    files_of: ContractFiles, bundle: Path, urns: Iterable[str], missing: list[str]
) -> Iterator[tuple[str, FileFacts]]:
    """Write the contracts that `urns` name; those that are not to be had are added to `missing`."""
    for urn in sorted(urns):
        name = contract_name(urn)
        files: Mapping[str, bytes] = {} if name is None else files_of(*name)
        if name is None or not files:
            missing.append(urn)
            continue
        for relative, data in sorted(files.items()):
            assert all(_SAFE_NAME.fullmatch(part) for part in relative.split("/")), relative
            path = f"contracts/{name[0]}/{name[1]}/{relative}"
            yield path, write_whole(bundle / path, "contract", [data], 1)


def write_disclosed(
    opener: Opener, bundle: Path, entries: Iterable[SelectedEntry], heard: Callable[[int], None]
) -> FileFacts:
    """Write what `opener` opens of `entries`; `heard` is told how many were looked at."""
    records = 0

    def lines() -> Iterator[bytes]:
        nonlocal records
        sealed: list[SealedEntry] = []
        for number, (index, leaf, payload) in enumerate(entries, 1):
            if _SEALED in leaf:
                sealed.append(SealedEntry(index, leaf, payload))
            if len(sealed) == _OPEN_COUNT:
                yield from opened(sealed)
                sealed = []
            if number % _OPEN_COUNT == 0:
                heard(number)
        yield from opened(sealed)

    def opened(sealed: list[SealedEntry]) -> Iterator[bytes]:
        nonlocal records
        for index, item, plaintext in opener.open(sealed) if sealed else ():
            records += 1
            text = base64.b64encode(plaintext).decode()
            yield orjson.dumps({"index": index, "item": item, "plaintext": text}) + b"\n"

    facts = write_whole(bundle / "disclosed.jsonl", "disclosed", lines(), 0)
    return FileFacts(
        role=facts.role, records=records, size_bytes=facts.size_bytes, sha256=facts.sha256
    )


def head_json(head: TreeHead) -> dict[str, object]:
    """Return a head as the manifest has it."""
    return {"size": head.size, "root": head.root.hex()}
