"""What an export works with, out of the settings: contracts from files, zone, signer."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

import orjson

from bridge.contracts.loading import FILE_BYTES_MAX
from bridge.contracts.names import is_subject, is_version
from bridge.contracts.product_schemas import product_schema_text, product_subjects
from bridge.eventlog.exporting.evidence import stored_note
from bridge.eventlog.exporting.means import ExportMeans, zone
from bridge.eventlog.exporting.ports import ContractFiles, Cosigner
from bridge.eventlog.history.business_values import parse_condition
from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.query import LIMIT_MAX, LogQuery, page_token
from bridge.eventlog.ports import CheckpointStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.note import split_note
from bridge.model.errors import ConfigInvalid
from bridge.runtime.wiring.evidence import witness_askers
from bridge.runtime.wiring.search import search_desk
from bridge.runtime.wiring.stores import Stores

# A contract has a schema, a mapping, some notes, and an example or two for each rule.
_FILES_MAX: Final = 1_000

COSIGN_WAIT_S: Final = 15.0
"""The witness is asked within half a second and answers in less; this allows for a retry."""
_LOOK_S: Final = 0.2


def export_means(stores: Stores) -> ExportMeans:
    """Return what an export of this deployment works with."""
    log = stores.event_log()
    askers = witness_askers(stores)
    return ExportMeans(
        log=log,
        head_signer=HeadSigner(stores.signer(), log),
        contracts=contract_files(stores.settings.contracts.dir),
        opener=stores.keeping().unsealer,
        selector=IndexSelector(search_desk(stores)),
        cosign=cosigner(log, askers) if askers else None,
        zone=zone(stores.settings.event_log.local_zone),
    )


class IndexSelector:
    """Selects entries by business values with the log's index; implements `Selector`."""

    def __init__(self, desk: SearchDesk) -> None:
        self._desk = desk

    def indices(self, conditions: Sequence[str], start: int, stop: int) -> Iterator[int]:
        """Return the entries of `[start, stop)` that fit all conditions, ascending.

        Raises:
            ConfigInvalid: a condition is malformed, or names a field that no contract declares.
            StorageUnavailable: the index does not get to the end of the range.
        """
        query = LogQuery(
            fields=tuple(parse_condition(text) for text in conditions),
            newest_first=False,
            limit=LIMIT_MAX,
        )
        # A condition that cannot be is refused now, and not after waiting.
        self._desk.search(replace(query, limit=1))
        if self._desk.status().indexed < stop:
            self._desk.wait()
        if start:
            query = replace(query, page=page_token(query, start - 1))
        return self._pages(query, stop)

    def _pages(self, query: LogQuery, stop: int) -> Iterator[int]:
        while True:
            page = self._desk.search(query)
            for hit in page.hits:
                if hit.index >= stop:
                    return
                yield hit.index
            if page.next_page is None:
                return
            query = replace(query, page=page.next_page)


class _Asks(Protocol):
    def step(self) -> object:
        """Have the newest checkpoint cosigned."""


def cosigner(
    log: CheckpointStore, askers: Sequence[_Asks], *, wait_s: float = COSIGN_WAIT_S
) -> Cosigner:
    """Return what has a checkpoint cosigned by all witnesses, or by as many as answer.

    Each is asked at once, while the checkpoint is the newest; where another was signed meanwhile,
    the role `log` may still have had this one cosigned, which is waited for a little.
    """

    def ask(size: int, note: bytes) -> bytes:
        for asker in askers:
            asker.step()
        wanted = len(split_note(note)[1]) + len(askers)
        pause, deadline = threading.Event(), time.monotonic() + wait_s
        while True:
            found = stored_note(log, size)
            if found is not None and split_note(found)[0] == split_note(note)[0]:
                note = found
            if len(split_note(note)[1]) >= wanted or time.monotonic() >= deadline:
                return note
            pause.wait(_LOOK_S)

    return ask


def contract_files(folder: Path) -> ContractFiles:
    """Return what reads the contracts of `folder`, and those of the product."""
    product = frozenset(product_subjects())

    def files_of(subject: str, version: str) -> Mapping[str, bytes]:
        if subject in product:
            return {"schema.json": product_schema_text(subject)}
        place = folder / subject / version
        if not is_subject(subject) or not is_version(version) or not place.is_dir():
            return {}
        return _read(place)

    return files_of


def _read(place: Path) -> dict[str, bytes]:
    """Return the files of one contract by their paths; what begins with a dot is none of it."""
    found: dict[str, bytes] = {}
    for path in sorted(place.rglob("*")):
        relative = path.relative_to(place)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        if path.stat().st_size > FILE_BYTES_MAX or len(found) == _FILES_MAX:
            raise ConfigInvalid(
                f"cannot export contract {str(place)!r}: {relative.as_posix()!r} has more than "
                f"{FILE_BYTES_MAX} bytes, or the folder more than {_FILES_MAX} files"
            )
        found[relative.as_posix()] = path.read_bytes()
    return found


def entity_pseudonym(stores: Stores, text: str) -> str:
    """Return the pseudonym of `SUBJECT=KEY`, KEY being the JSON text of the entity's key.

    Raises:
        ConfigInvalid: it is not of that form.
    """
    subject, equals, key = text.partition("=")
    try:
        known = orjson.loads(key)
    except ValueError:
        known = None
    if not equals or not is_subject(subject) or known is None:
        raise ConfigInvalid(
            f"cannot filter by entity {text!r}: expected SUBJECT=KEY with the key as JSON, such "
            """as shop.order='{"order_id":100001}'"""
        )
    # As events carry it: without spaces, its members in the contract's order.
    return stores.pseudonyms().entity(subject, orjson.dumps(known).decode())
