"""The JSON bodies that the service takes."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Amount = Annotated[str, Field(pattern=r"^[0-9]{1,7}(\.[0-9]{1,2})?$")]
"""A decimal string with at most two places."""
Status = Literal["open", "paid", "picked", "shipped", "closed", "cancelled"]
Method = Literal["card", "transfer", "cash", "konbini"]


class _Body(BaseModel):
    """Strict: a number is not a text and `1` is not `true`."""

    model_config = ConfigDict(strict=True)


class NewLine(_Body):
    """A line of an order that is placed."""

    sku: Annotated[str, Field(min_length=1, max_length=8)]
    warehouse: Annotated[str, Field(min_length=1, max_length=3)]
    qty: Annotated[int, Field(ge=1, le=9_999)]
    unit_price: Amount


class NewOrder(_Body):
    """POST /orders."""

    client_ref: Annotated[str, Field(min_length=1, max_length=60)]
    customer_id: Annotated[int, Field(ge=1, le=999_999_999)]
    gift: bool = False
    note: Annotated[str, Field(max_length=60_000)] | None = None
    lines: Annotated[list[NewLine], Field(min_length=1, max_length=50)]


class NewStatus(_Body):
    """PUT /orders/{order_id}/status."""

    status: Status


class NewTerms(_Body):
    """PUT /orders/{order_id}/lines/{line_no}; a quantity of zero cancels the line."""

    qty: Annotated[int, Field(ge=0, le=9_999)]
    unit_price: Amount


class NewPayment(_Body):
    """POST /orders/{order_id}/payments."""

    payment_ref: Annotated[str, Field(min_length=1, max_length=60)]
    method: Method
    amount: Amount


def places(amount: str) -> Decimal:
    """Return an `Amount` with its two places."""
    return round(Decimal(amount), 2)
