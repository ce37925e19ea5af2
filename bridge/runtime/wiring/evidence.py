"""Wire what asks strangers about the log: witnesses and time-stamp authorities."""

import threading
from collections.abc import Callable

from adapters.timestamp.authority import HttpTimestampAuthority
from adapters.webhook.bell import WebhookBell
from adapters.witness.client import HttpWitnessLink
from bridge.eventlog.signing.cosignature import CosignerKey
from bridge.eventlog.timestamps.stamper import Stamper
from bridge.eventlog.witness.asker import CosignatureShelf, WitnessAsker
from bridge.model.errors import ConfigInvalid, DecodeError
from bridge.model.observer import Observer
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.stores import Stores

Service = Callable[[threading.Event], None]


def evidence_bell(settings: Settings, observer: Observer) -> WebhookBell | None:
    """Return what posts alarms about the log's evidence, if the settings have a webhook."""
    log = settings.event_log
    if log.webhook is None:
        return None
    return WebhookBell(log.webhook, token=log.webhook_token, observer=observer)


def witness_askers(
    stores: Stores, observer: Observer | None = None, bell: WebhookBell | None = None
) -> list[WitnessAsker]:
    """Return one asker for each configured witness."""
    shelf = CosignatureShelf(stores.event_log())
    return [
        WitnessAsker(
            name,
            witness_key(name, witness.vkey),
            HttpWitnessLink(name, witness.url, timeout_s=witness.timeout_s),
            stores.event_log(),
            shelf,
            observer=observer,
            bell=bell,
            late_s=witness.late_s,
        )
        for name, witness in sorted(stores.settings.event_log.witnesses.items())
    ]


def witness_key(name: str, vkey: str) -> CosignerKey:
    """Return the verifier key of witness `name`; raises `ConfigInvalid`."""
    try:
        return CosignerKey.parse(vkey)
    except DecodeError as exc:
        raise ConfigInvalid(f"cannot use event_log.witnesses.{name}.vkey: {exc}") from exc


def evidence_services(stores: Stores, observer: Observer) -> list[tuple[str, Service]]:
    """Return the services of the log role that ask strangers; each is a loop of its own."""
    bell = evidence_bell(stores.settings, observer)
    services: list[tuple[str, Service]] = [
        (f"witness:{asker.name}", asker.run) for asker in witness_askers(stores, observer, bell)
    ]
    services += [(f"timestamp:{each.name}", each.run) for each in stampers(stores, observer, bell)]
    if bell is not None:
        services.append(("alarms", _rings_out(bell)))
    return services


def stampers(
    stores: Stores, observer: Observer | None = None, bell: WebhookBell | None = None
) -> list[Stamper]:
    """Return what keeps the tokens of each configured authority coming."""
    return [
        Stamper(
            name,
            HttpTimestampAuthority(
                name, authority.url, ca_file=authority.ca_file, timeout_s=authority.timeout_s
            ),
            stores.event_log(),
            stores.sink_cursors(),
            interval_s=authority.interval_s,
            observer=observer,
            bell=bell,
        )
        for name, authority in sorted(stores.settings.event_log.timestamps.items())
    ]


def _rings_out(bell: WebhookBell) -> Service:
    """Return a service that lets the bell finish when the role ends."""

    def run(stop: threading.Event) -> None:
        stop.wait()
        bell.close()

    return run
