"""The gateway's outer sides from the settings: listeners with their doors, and upstream pools."""

import asyncio
import signal
import socket
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from adapters.upstream.client import UpstreamClient
from adapters.upstream.pool import Pool, PoolLimits
from bridge.gateway.http.edge import Network
from bridge.gateway.plane.entrance import Door
from bridge.gateway.plane.listener import open_listener
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.tls.certificate_names import normal_name
from bridge.gateway.tls.contexts import Reloading, ServerContexts
from bridge.gateway.upstream_ports import NamedPool, Upstream
from bridge.model.http import Headers
from bridge.model.observer import Observer
from bridge.runtime.configuration.gateway_settings import (
    GatewaySettings,
    ListenerSettings,
)
from bridge.runtime.wiring.gateway_tls import address, secure_dialling, server_tls

# A changed certificate is in use within this time; a look is one `stat` for each of its files.
LOOK_FOR_FILES_S = 1.0


def plane_settings(gateway: GatewaySettings) -> PlaneSettings:
    """Return a worker's names and limits."""
    given: dict[str, Any] = gateway.plane.model_dump()
    hosts = (normal_name(host) for host in given.pop("hosts"))
    return PlaneSettings(
        hosts=frozenset(host.encode("ascii") for host in hosts if host is not None),
        trusted_hops=tuple(given.pop("trusted_hops")),
        write_wait_ms=2 * gateway.lane_wait_ms + gateway.drain_wait_ms,
        **given,
    )


def replay_headers(gateway: GatewaySettings) -> dict[str, Headers]:
    """Return what replays show instead of their client's credentials, by upstream."""
    return {
        name: tuple(
            (field.encode("ascii"), value.get_secret_value().encode("latin-1"))
            for field, value in upstream.replay_headers.items()
        )
        for name, upstream in gateway.upstreams.items()
        if upstream.replay_headers
    }


def open_doors(gateway: GatewaySettings, observer: Observer) -> list[tuple[socket.socket, Door]]:
    """Open every listener of the settings.

    Raises:
        ConfigInvalid: an address is taken, or a certificate must not be used.
    """
    doors = [
        (listener, door(name, listener, observer))
        for name, listener in gateway.all_listeners().items()
    ]
    with ExitStack() as opened:
        found = []
        for settings, each in doors:
            sock = open_listener(settings.host, settings.port, shared=True)
            opened.callback(sock.close)
            found.append((sock, each))
        opened.pop_all()
    return found


def door(name: str, listener: ListenerSettings, observer: Observer) -> Door:
    """Return how clients come in by a listener.

    Raises:
        ConfigInvalid: a certificate must not be used.
    """
    trusted: tuple[Network, ...] = listener.proxy_protocol_from
    tls = server_tls(listener)
    if tls is None:
        return Door(name=name, proxied_by=trusted)
    made: Reloading[ServerContexts] = Reloading(
        f"listener {name}",
        tls.files(),
        lambda replacing: ServerContexts(tls, replacing=replacing),
        observer,
    )
    assert listener.tls is not None, "TLS without its settings"
    identity = listener.tls.client_fields if tls.client_certificates != "none" else {}
    return Door(name=name, proxied_by=trusted, tls=made, identity=identity)


def open_pools(gateway: GatewaySettings, observer: Observer, stack: ExitStack) -> dict[str, Pool]:
    """Return a pool per upstream, closed with `stack`.

    Raises:
        ConfigInvalid: a certificate must not be used.
    """
    pools = {}
    for name, upstream in gateway.upstreams.items():
        host, port = address(upstream)
        pool = Pool(
            name,
            host,
            port,
            limits=PoolLimits(
                connections_max=upstream.connections_max,
                waiting_max=upstream.waiting_max,
                wait_ms=upstream.wait_ms,
                idle_ms=upstream.idle_ms,
            ),
            observer=observer,
            secure=secure_dialling(name, upstream, observer),
        )
        stack.callback(pool.close)
        pools[name] = pool
    return pools


def clients(pools: Mapping[str, NamedPool], gateway: GatewaySettings) -> dict[str, Upstream]:
    """Return what makes whole exchanges, by upstream, over these pools."""
    return {
        name: UpstreamClient(pool, answer_bytes_max=gateway.upstreams[name].answer_bytes_max)
        for name, pool in pools.items()
    }


def note_listening(gateway: GatewaySettings, observer: Observer) -> None:
    """Tell by which ports clients are accepted from now on."""
    for name, listener in gateway.all_listeners().items():
        observer.note("listening", port=listener.port, listener=name)


async def follow_files(
    doors: Iterable[tuple[socket.socket, Door]], pools: Mapping[str, Pool]
) -> None:
    """Take new certificates as their files change, and at once on SIGHUP; runs until cancelled."""
    made: list[Reloading[Any]] = [each.tls for _, each in doors if each.tls is not None]
    made += [pool.secure.contexts for pool in pools.values() if pool.secure is not None]
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    with suppress(ValueError, RuntimeError):  # Only a main thread can hear signals.
        loop.add_signal_handler(signal.SIGHUP, asked.set)
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(LOOK_FOR_FILES_S):
                await asked.wait()
        force = asked.is_set()
        asked.clear()
        for each in made:
            each.look(force=force)
