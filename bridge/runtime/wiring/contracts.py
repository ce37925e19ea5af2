"""Load the contracts of a deployment with what their mappings need beside their text."""

from bridge.contracts.contract_set import ContractSet
from bridge.contracts.means import LastKnown, Means, Sealer
from bridge.model.pseudonym import Pseudonyms
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.wiring.protection_key import protection_keys


def contract_set(
    settings: Settings,
    last_known: LastKnown | None = None,
    pseudonyms: Pseudonyms | None = None,
    sealer: Sealer | None = None,
    *,
    unsealed: bool = False,
) -> ContractSet:
    """Load the contracts that the settings name; `unsealed` is for what is never logged."""
    means = Means(
        protection=protection_keys(settings.contracts),
        last_known=last_known,
        pseudonyms=pseudonyms,
        sealer=sealer,
        unsealed=unsealed,
    )
    contracts = settings.contracts
    return ContractSet.load(contracts.dir, type_prefix=contracts.type_prefix, means=means)
