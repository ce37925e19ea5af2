"""Wire what describes the tables of a database."""

from adapters.introspection.tables import Introspection
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings import Settings


def introspection(settings: Settings, name: str, url: str | None) -> Introspection:
    """Return what describes the tables of source `name`, at `url` when the settings lack it."""
    source = settings.sources.get(name)
    address = url or (getattr(source, "dsn", None) or getattr(source, "url", None))
    if address is None:
        raise ConfigInvalid(
            f"cannot look at source {name!r}: the settings do not have it; give its address "
            "with --url, best through the environment (LEGACY_BRIDGE_SOURCE_URL)"
        )
    return Introspection(address)
