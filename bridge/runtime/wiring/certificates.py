"""The certificates of the settings: whether they can be used, and when they end."""

from datetime import datetime
from pathlib import Path
from typing import Any

from bridge.gateway.tls.certificate_files import read_facts, utc_now
from bridge.gateway.tls.contexts import ServerContexts
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import SilentObserver
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.wiring.gateway_tls import secure_dialling, server_tls

DAYS_LEFT_MIN = 14
"""Below it an expiry is worth a word: certificates that renew themselves do so at 30 days."""


def check_certificates(gateway: GatewaySettings) -> str:
    """Load every certificate, key and authority as a worker will.

    Raises:
        ConfigInvalid: one cannot be used, or has expired.
    """
    for listener in gateway.all_listeners().values():
        tls = server_tls(listener)
        if tls is not None:
            ServerContexts(tls, replacing=True)
    for name, upstream in gateway.upstreams.items():
        secure_dialling(name, upstream, SilentObserver())
    found = certificate_status(gateway)
    for each in found:
        if each["problem"] and (each["days_left"] is None or each["days_left"] <= 0):
            raise ConfigInvalid(f"cannot use certificate {each['file']!r}: {each['problem']}")
    if not found:
        return "authorities of upstreams can be read"
    first = min(found, key=lambda each: each["days_left"])
    soon = "; renew it" if first["days_left"] < DAYS_LEFT_MIN else ""
    return (
        f"{len(found)} in force; the first ends in {first['days_left']:.1f} days"
        f" ({first['of']}){soon}"
    )


def certificate_status(
    gateway: GatewaySettings, now: datetime | None = None
) -> list[dict[str, Any]]:
    """Return when each certificate of the settings ends; `problem` is None when all is well."""
    at = now or utc_now()
    files: list[tuple[str, Path]] = [
        (f"listener {name}", each.cert_file)
        for name, listener in gateway.all_listeners().items()
        if listener.tls is not None
        for each in listener.tls.certificates
    ]
    files += [
        (f"upstream {name}", upstream.tls.cert_file)
        for name, upstream in gateway.upstreams.items()
        if upstream.tls is not None and upstream.tls.cert_file is not None
    ]
    found = []
    for of, path in files:
        shown: dict[str, Any] = {"of": of, "file": str(path), "not_after": None, "days_left": None}
        try:
            facts = read_facts(path)
        except ConfigInvalid as exc:
            found.append({**shown, "names": [], "problem": str(exc)})
            continue
        days = (facts.not_after - at).total_seconds() / 86_400
        problem = None
        if days <= 0:
            problem = "it has expired"
        elif days < DAYS_LEFT_MIN:
            problem = f"it expires in {days:.1f} days"
        shown |= {"not_after": facts.not_after.isoformat(), "days_left": round(days, 1)}
        found.append({**shown, "names": list(facts.names), "problem": problem})
    return found
