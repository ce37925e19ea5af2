"""How the settings of a source become what capture decides by."""

from bridge.capture.drift.policy import DriftAction, DriftPolicy
from bridge.capture.mapping.change_mapper import MappingOptions
from bridge.capture.mapping.messages import MessageRules
from bridge.runtime.configuration.settings import Settings


def mapping_options(settings: Settings, name: str) -> MappingOptions:
    """Return what source `name` does about messages, transactions and drift."""
    source = settings.replicated(name)
    return MappingOptions(
        type_prefix=settings.contracts.type_prefix,
        messages=MessageRules(
            context_prefix=source.messages.context_prefix,
            publish_prefixes=source.messages.publish_prefixes,
        ),
        drift=DriftPolicy(
            action=DriftAction(source.drift.policy),
            tables={table: DriftAction(action) for table, action in source.drift.tables.items()},
            keep_unmapped=source.drift.keep_unmapped,
        ),
        transactions=source.transactions,
    )
