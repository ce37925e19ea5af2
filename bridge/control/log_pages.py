"""The log over HTTP: checkpoint and tiles for partners (C2SP `tlog-tiles`), proofs for anybody.

Tiles hold leaves and hashes, never a payload. Whatever has a tile's name never changes, so caches
may keep it for ever; only what the newest signed checkpoint covers is handed out.
"""

import gzip
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Header, Request, Response

from bridge.control.auth import Principal, principal_of
from bridge.eventlog.proofs.prover import entry_named, prove_entry
from bridge.eventlog.proofs.tlog_proof import SUFFIX
from bridge.eventlog.records.access_book import AccessBook
from bridge.eventlog.tiles.publisher import PublishableLog
from bridge.eventlog.tiles.tile_contents import TileContents
from bridge.eventlog.tiles.tile_paths import ENTRIES, parse_tile_path
from bridge.model.errors import DecodeError, NotKnown
from bridge.model.warrant import UNKNOWN

Who = Annotated[Principal, Depends(principal_of)]

TileAccess = Literal["token", "open", "off"]

TEXT: Final = "text/plain; charset=utf-8"

CHECKPOINT_MAX_AGE_S: Final = 5
TILE_MAX_AGE_S: Final = 31_536_000

# Readers told apart in a day; one more is not told again, and all of them have a token.
READERS_MAX: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LogPages:
    """What the API shows of the log."""

    open_log: Callable[[], PublishableLog]
    """Opens the log when it is first asked for."""
    tiles: TileAccess = "token"
    """Who may fetch checkpoint and tiles: holders of a token, everybody, nobody."""


def proof_routes(pages: LogPages, book: AccessBook) -> APIRouter:
    """Return the routes of proofs; each is recorded."""
    router = APIRouter(prefix="/api/log/entries")

    @router.get("/{index}/proof")
    def proof(index: int, who: Who) -> Response:
        """Return the proof of one entry as a `.tlog-proof` file."""
        log = pages.open_log()
        found = prove_entry(log, entry_named(log, str(index)))
        book.read(who.actor, "prove", found=1, query={"index": found.index})
        name = f'attachment; filename="{found.index}{SUFFIX}"'
        return Response(found.format(), media_type=TEXT, headers={"Content-Disposition": name})

    return router


def tile_routes(pages: LogPages, book: AccessBook) -> APIRouter:
    """Return the routes of checkpoint and tiles."""
    router = APIRouter(prefix="/log")
    readers = DailyReaders()
    kept_by = "public" if pages.tiles == "open" else "private"

    @router.get("/checkpoint")
    def checkpoint() -> Response:
        """Return the newest signed checkpoint."""
        headers = {"Cache-Control": f"{kept_by}, max-age={CHECKPOINT_MAX_AGE_S}"}
        return Response(_latest(pages)[1], media_type=TEXT, headers=headers)

    @router.get("/minimum-index")
    def minimum_index() -> Response:
        """Return the index of the first entry that the log still has."""
        headers = {"Cache-Control": f"{kept_by}, max-age={CHECKPOINT_MAX_AGE_S}"}
        body = f"{pages.open_log().first_index()}\n"
        return Response(body, media_type=TEXT, headers=headers)

    @router.get("/tile/{path:path}")
    def tile(
        path: str, request: Request, accept_encoding: Annotated[str, Header(max_length=500)] = ""
    ) -> Response:
        """Return a tile of hashes or a bundle of leaves."""
        try:
            name = parse_tile_path(f"tile/{path}")
        except DecodeError as exc:
            raise NotKnown(str(exc)) from exc
        size = _latest(pages)[0]
        if not name.is_within(size):
            raise NotKnown(
                f"cannot find {name.path()!r}: the signed log of {size} entries does not have it"
            )
        data = TileContents(pages.open_log()).read(name)
        if data is None:
            raise NotKnown(
                f"cannot find {name.path()!r}: it was pruned; /log/minimum-index says up to where"
            )
        headers = {"Cache-Control": f"{kept_by}, max-age={TILE_MAX_AGE_S}, immutable"}
        if name.level == ENTRIES:
            principal = getattr(request.state, "principal", None)
            actor = UNKNOWN if principal is None else principal.actor
            if readers.is_new(actor.id, datetime.now(UTC).date()):
                book.read(actor, "tiles", found=name.width)
            headers["Vary"] = "Accept-Encoding"
            if "gzip" in accept_encoding:
                headers["Content-Encoding"] = "gzip"
                data = gzip.compress(data, mtime=0)
        return Response(data, media_type="application/octet-stream", headers=headers)

    return router


class DailyReaders:
    """Tells who reads entries for the first time in a day.

    A mirror that follows the log asks all the time. If each of its reads were an entry, it would
    have something new to fetch each time, and the log would never be idle.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._day: date | None = None
        self._seen: set[str] = set()

    def is_new(self, actor_id: str, day: date) -> bool:
        """Return whether `actor_id` has not read on this day yet."""
        with self._lock:
            if day != self._day:
                self._day, self._seen = day, set()
            if actor_id in self._seen or len(self._seen) >= READERS_MAX:
                return False
            self._seen.add(actor_id)
            return True


def _latest(pages: LogPages) -> tuple[int, bytes]:
    latest = pages.open_log().latest_checkpoint()
    if latest is None:
        raise NotKnown("cannot find a checkpoint: the log was not signed yet")
    return latest
