"""Wire spans around the ports of one process of the gateway; without an endpoint nothing is."""

import functools
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from socket import socket
from typing import cast

from bridge import __version__
from bridge.gateway.dual.forwarder import CallFaults
from bridge.gateway.dual.ports import WriteJournal
from bridge.gateway.plane.entrance import Door
from bridge.gateway.plane.write_path import WritePath
from bridge.gateway.tracing.traced_connection import TracedConnection
from bridge.gateway.tracing.traced_pool import TracedPool
from bridge.gateway.tracing.traced_writes import TracedCalls, TracedJournal, TracedWritePath
from bridge.gateway.tracing.tracer import Tracer
from bridge.gateway.upstream_ports import NamedPool
from bridge.model.observer import Observer
from bridge.runtime.configuration.telemetry_settings import TelemetrySettings


class Tracing:
    """Puts spans around what is given to it, or gives it back as it is."""

    def __init__(self, tracer: Tracer | None) -> None:
        self._tracer = tracer

    def doors(self, doors: Sequence[tuple[socket, Door]]) -> list[tuple[socket, Door]]:
        """Return doors behind which each sampled request has a span."""
        tracer = self._tracer
        if tracer is None:
            return [*doors]
        client = functools.partial(TracedConnection, tracer)
        return [(sock, replace(door, client=client)) for sock, door in doors]

    def pools(self, pools: Mapping[str, NamedPool]) -> dict[str, NamedPool]:
        """Return pools whose forwarded requests have spans."""
        return {name: self.pool(pool) for name, pool in pools.items()}

    def pool(self, pool: NamedPool) -> NamedPool:
        """Return one of them."""
        return pool if self._tracer is None else TracedPool(pool, self._tracer)

    def journal(self, journal: WriteJournal) -> WriteJournal:
        """Return the writer's journal with spans around its commits."""
        if self._tracer is None:
            return journal
        # It passes on what it does not watch, whatever that is.
        return cast(WriteJournal, TracedJournal(journal, self._tracer))

    def calls(self, faults: CallFaults) -> CallFaults:
        """Return what stands around each call of the write path and of replays."""
        return faults if self._tracer is None else TracedCalls(faults, self._tracer)

    def write_path(self, path: WritePath) -> WritePath:
        """Return the write path with its beginning noted."""
        return (
            path if self._tracer is None else cast(WritePath, TracedWritePath(path, self._tracer))
        )


def open_tracing(
    settings: TelemetrySettings, role: str, observer: Observer, stack: ExitStack
) -> Tracing:
    """Return what puts spans around one process's ports; what is queued is sent with `stack`'s end.

    Raises:
        ConfigInvalid: an endpoint is set, and the extra `tracing` is not installed.
    """
    if settings.otlp_endpoint is None:
        return Tracing(None)
    from adapters.otlp.exporter import OtlpExporter  # Its packages take a while to import.

    exporter = OtlpExporter(
        settings.otlp_endpoint,
        observer,
        resource={
            "service.name": settings.service_name,
            "service.version": __version__,
            "service.instance.id": f"{role}-{os.getpid()}",
        },
        headers={name: value.get_secret_value() for name, value in settings.otlp_headers.items()},
    )
    stack.callback(exporter.close)
    return Tracing(Tracer(exporter, settings.sample_ratio))
