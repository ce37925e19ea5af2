"""What Legacy Bridge itself tells has contracts like everything else."""

import pytest

from bridge.contracts.product_schemas import product_schema, product_subjects
from bridge.contracts.schema import schema_problems


@pytest.mark.parametrize("subject", product_subjects())
def test_each_is_a_schema_that_a_contract_may_have(subject: str) -> None:
    assert schema_problems(product_schema(subject).schema) == []


def test_what_is_not_told_is_refused() -> None:
    assert "bridge.message" in product_subjects()
    assert product_schema("bridge.transaction").reason({"status": "begin"}) is not None
