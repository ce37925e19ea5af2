"""What events promise: load and lint contracts, map rows to events, validate events."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bridge.contracts.contract_set import ContractSet, check
    from bridge.contracts.loading import Contract
    from bridge.contracts.table_mapper import TableMapper

__all__ = ["Contract", "ContractSet", "TableMapper", "check"]

_MODULES: Final = {
    "Contract": "bridge.contracts.loading",
    "ContractSet": "bridge.contracts.contract_set",
    "TableMapper": "bridge.contracts.table_mapper",
    "check": "bridge.contracts.contract_set",
}


def __getattr__(name: str) -> Any:
    # Who reads settings needs a small module of this room, and none of its validators.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
