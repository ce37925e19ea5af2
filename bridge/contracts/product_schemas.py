"""The contracts of what Legacy Bridge itself tells, which come with the product.

Their subjects are `bridge.WHAT`, their version is 1.0; the files lie in `product/WHAT.json`.
"""

import json
from functools import cache
from pathlib import Path
from typing import Final

from bridge.contracts.schema import DataSchema

_FOLDER: Final = Path(__file__).parent / "product"


def product_subjects() -> list[str]:
    """Return the subjects, sorted."""
    return sorted(f"bridge.{path.stem}" for path in _FOLDER.glob("*.json"))


def product_schema_text(subject: str) -> bytes:
    """Return the schema's text for `subject`, one of `product_subjects`."""
    return (_FOLDER / f"{subject.removeprefix('bridge.')}.json").read_bytes()


@cache
def product_schema(subject: str) -> DataSchema:
    """Return the schema of the data of `subject`, one of `product_subjects`."""
    return DataSchema(json.loads(product_schema_text(subject)))
