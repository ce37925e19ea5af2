"""Wire the copies of a gateway worker: their pools, their bounds, and where findings are kept."""

import asyncio
import random
import secrets
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.comparison.book import ComparisonBook
from bridge.gateway.comparison.ports import ComparisonStore
from bridge.gateway.comparison.sealed_request import RequestSeal
from bridge.gateway.dual.ports import IdMap
from bridge.gateway.shadow.limits import ShadowLimits
from bridge.gateway.shadow.mirror import Lanes, Mirror
from bridge.gateway.upstream_ports import NamedPool
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.model.http import Headers
from bridge.model.observer import Observer, SilentObserver
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.gateway_tls import address, secure_dialling
from bridge.runtime.wiring.log_opening import made
from bridge.runtime.wiring.private_key import made_key
from bridge.storage.comparison.sqlite import SqliteComparisonStore

COMPARISONS_FILE: Final = "comparisons.db"
# Findings are told in batches: what is lost when a worker dies is seconds of counts.
KEEP_EVERY_S: Final = 2.0
_SAMPLE_KEY_BYTES: Final = 32
# Days are what samples are kept for: looking once an hour is exact enough.
PRUNE_EVERY_S: Final = 3_600.0
# Copies do not queue: what finds no connection in this time is not worth one.
_WAIT_MS: Final = 1_000


class LanesAndIds(Lanes, IdMap, Protocol):
    """The write journal, as copies need it."""


def open_comparisons(settings: Settings) -> SqliteComparisonStore:
    """Return the store of what comparisons found; made when it is missing."""
    return SqliteComparisonStore(made(settings.data_dir) / COMPARISONS_FILE)


def comparison_book(settings: Settings, store: ComparisonStore) -> ComparisonBook:
    """Return a worker's book, which goes on from what all workers have counted.

    Raises:
        ConfigInvalid: the key of samples cannot be read or made.
    """
    known = {}
    for series in store.series():
        known[series.route, series.rules] = store.counts(series.route, series.rules)
    key = sample_key(settings)
    return ComparisonBook(
        key=key,
        seal=RequestSeal(key, secrets.token_bytes),
        chance=random.random,
        new_id=lambda: uuid.uuid4().hex,
        known=known,
    )


@asynccontextmanager
async def shadowing(
    settings: Settings,
    gateway: GatewaySettings,
    journal: LanesAndIds,
    observer: Observer,
    stop: asyncio.Event,
    traced: Callable[[NamedPool], NamedPool] = lambda pool: pool,
) -> AsyncIterator[Mirror]:
    """Give one worker its mirror, and keep what comparisons find until `stop` and the end.

    `traced` puts spans around what goes by a pool.

    Raises:
        ConfigInvalid: a certificate or the key of samples must not be used.
    """
    with closing(open_comparisons(settings)) as store:
        book = comparison_book(settings, store)
        mirror = open_mirror(settings, gateway, book, journal, observer, traced)
        kept = timedelta(days=gateway.samples_keep_days)
        keeping = asyncio.create_task(_keep_findings(book, store, observer, stop, kept))
        try:
            yield mirror
            await keeping
        finally:
            keeping.cancel()
            mirror.close()
            await _tell_findings(book, store, observer)


def open_mirror(
    settings: Settings,
    gateway: GatewaySettings,
    book: ComparisonBook,
    journal: LanesAndIds,
    observer: Observer,
    traced: Callable[[NamedPool], NamedPool],
) -> Mirror:
    """Return the mirror of one worker; its pools are its own, and opened when first needed.

    Raises:
        ConfigInvalid: a certificate must not be used.
    """
    dialling = {
        name: secure_dialling(name, upstream, observer)
        for name, upstream in gateway.upstreams.items()
    }

    def open_pool(name: str, connections_max: int) -> NamedPool:
        upstream = gateway.upstreams[name]
        host, port = address(upstream)
        pool = Pool(
            name,
            host,
            port,
            limits=PoolLimits(
                connections_max=connections_max,
                waiting_max=connections_max,
                wait_ms=min(_WAIT_MS, upstream.wait_ms),
                idle_ms=upstream.idle_ms,
            ),
            # A copy that finds no connection is counted; a log line for each would be a flood.
            observer=SilentObserver(),
            secure=dialling[name],
        )
        return traced(pool)

    return Mirror(
        open_pool=open_pool,
        book=book,
        ids=journal,
        journal=journal,
        limits=ShadowLimits(**gateway.shadow.model_dump()),
        spool_folder=settings.data_dir / "spool",
        credentials=shadow_headers(gateway),
        observer=observer,
    )


def shadow_headers(gateway: GatewaySettings) -> dict[str, Headers]:
    """Return what copies show instead of their client's credentials, by upstream."""
    return {
        name: tuple(
            (field.encode("ascii"), value.get_secret_value().encode("latin-1"))
            for field, value in upstream.shadow_headers.items()
        )
        for name, upstream in gateway.upstreams.items()
        if upstream.shadow_headers
    }


async def _keep_findings(
    book: ComparisonBook,
    store: ComparisonStore,
    observer: Observer,
    stop: asyncio.Event,
    kept: timedelta,
) -> None:
    """Tell the store what was found, every few seconds until `stop`; forget what is too old."""
    pruned_at = float("-inf")
    while not stop.is_set():
        if time.monotonic() - pruned_at >= PRUNE_EVERY_S:
            pruned_at = time.monotonic()
            await _forget(store, observer, datetime.now(UTC) - kept)
        with suppress(TimeoutError):
            async with asyncio.timeout(KEEP_EVERY_S):
                await stop.wait()
        await _tell_findings(book, store, observer)


async def _forget(store: ComparisonStore, observer: Observer, before: datetime) -> None:
    try:
        count = await asyncio.to_thread(store.prune, before)
    except StorageUnavailable as exc:
        observer.note("comparisons_not_pruned", error=str(exc))
        return
    if count:
        observer.note("comparisons_pruned", count=count)


async def _tell_findings(book: ComparisonBook, store: ComparisonStore, observer: Observer) -> None:
    """Tell the store what is new; what it cannot take is noted and lost, for it is a sample."""
    news = book.drain()
    if not news:
        return
    try:
        await asyncio.to_thread(store.add, news)
    except StorageUnavailable as exc:
        observer.note("comparisons_not_stored", routes=len(news), error=str(exc))


def sample_key(settings: Settings) -> bytes:
    """Return the key that redacts and seals samples; made when it is missing.

    Raises:
        ConfigInvalid: it cannot be read or made, or must not be used.
    """
    path = settings.data_dir / "keys" / "sample.key"
    key = made_key(path, "key of samples", _SAMPLE_KEY_BYTES)
    if len(key) != _SAMPLE_KEY_BYTES:
        raise ConfigInvalid(
            f"cannot use key of samples {str(path)!r}: it does not have {_SAMPLE_KEY_BYTES} bytes; "
            "remove it, and a new one is made"
        )
    return key
