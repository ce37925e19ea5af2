"""What events promise: load and lint contracts, map rows to events, validate events."""

from bridge.contracts.contract_set import ContractSet, check
from bridge.contracts.loading import Contract
from bridge.contracts.table_mapper import TableMapper

__all__ = ["Contract", "ContractSet", "TableMapper", "check"]
