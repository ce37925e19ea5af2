"""Wire what asks strangers about the log: witnesses and time-stamp authorities."""

import threading
from collections.abc import Callable

from adapters.webhook.bell import WebhookBell
from adapters.witness.client import HttpWitnessLink
from bridge.eventlog.signing.cosignature import CosignerKey
from bridge.eventlog.witness.asker import CosignatureShelf, WitnessAsker
from bridge.model.errors import ConfigInvalid, DecodeError
from bridge.model.observer import Observer
from bridge.runtime.settings import Settings
from bridge.runtime.wiring import Stores

Service = Callable[[threading.Event], None]


def evidence_bell(settings: Settings, observer: Observer) -> WebhookBell | None:
    """Return what posts alarms about the log's evidence, if the settings have a webhook."""
    log = settings.event_log
    if log.webhook is None:
        return None
    return WebhookBell(log.webhook, token=log.webhook_token, observer=observer)


def witness_askers(
    stores: Stores, observer: Observer, bell: WebhookBell | None
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
    askers = witness_askers(stores, observer, bell)
    return [(f"witness:{asker.name}", asker.run) for asker in askers]
