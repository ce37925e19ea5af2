"""The code tables of the shop, as the application knows them by heart."""

from typing import Final

STATUS_CODES: Final = {
    "open": "1",
    "paid": "2",
    "picked": "3",
    "shipped": "4",
    "closed": "5",
    "cancelled": "9",
}
STATUS_NAMES: Final = {code: name for name, code in STATUS_CODES.items()}

METHOD_CODES: Final = {"card": "CC", "transfer": "BT", "cash": "CS", "konbini": "KB"}
METHOD_NAMES: Final = {code: name for name, code in METHOD_CODES.items()}

TAX_NAMES: Final = {"0": "exempt", "1": "standard", "2": "reduced"}

# What one ordered piece does to stock while its order has a status: (on hand, reserved).
# A change of status moves the difference.
STOCK_EFFECT: Final = {
    "1": (0, 1),
    "2": (0, 1),
    "3": (0, 1),
    "4": (-1, 0),
    "5": (-1, 0),
    "9": (0, 0),
}
SHIPPED: Final = frozenset({"4", "5"})
