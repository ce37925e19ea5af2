"""What a declared field of a contract is to those who search the event log."""

from enum import Enum


class Role(Enum):
    """How values of a field are compared; set by the contract's author."""

    DATE = "date"  # When the business says it was: a date, or a moment.
    AMOUNT = "amount"  # Money or another quantity, compared as an exact number.
    COUNTERPARTY = "counterparty"  # With whom: a name or number, found whatever its width and case.
    REFERENCE = "reference"  # A document's number, found in the same way.


FIELDS_MAX = 6
"""Declared fields of one contract: each costs some 25 bytes of index for each of its events."""
