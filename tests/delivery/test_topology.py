"""Topic patterns match as a broker matches them, and what no broker takes is refused."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.delivery.topology import QueueSpec, Topology, matches
from bridge.model.errors import ConfigInvalid


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("#", "shop.order.created.v1", True),
        ("#", "", True),
        ("shop.#", "shop", True),
        ("shop.#", "shop.order.created.v1", True),
        ("shop.*", "shop.order.created.v1", False),
        ("shop.order.*.v1", "shop.order.created.v1", True),
        ("shop.order.*.v1", "shop.order.created.v2", False),
        ("#.v1", "shop.order.created.v1", True),
        ("*.#.v1", "v1", False),
        ("shop.#.created.#", "shop.order.created.v1", True),
    ],
)
def test_examples(pattern: str, key: str, expected: bool) -> None:
    assert matches(pattern, key) is expected


def _by_regular_expression(pattern: str, key: str) -> bool:
    # Each word of the key is written with its dot before it, so that `#` may also be no word.
    parts = {"*": r"\.[^.]*", "#": r"(\.[^.]*)*"}
    text = "".join(parts.get(part, re.escape("." + part)) for part in pattern.split("."))
    return re.fullmatch(text, "." + key) is not None


WORDS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=5).map(".".join)
PATTERNS = st.lists(st.sampled_from(["a", "b", "*", "#"]), min_size=1, max_size=5).map(".".join)


@given(PATTERNS, WORDS)
def test_agrees_with_a_regular_expression(pattern: str, key: str) -> None:
    assert matches(pattern, key) is _by_regular_expression(pattern, key)


def test_finds_the_queue_that_should_take_an_event() -> None:
    orders = QueueSpec(name="c.orders", bindings=("shop.order.#",))
    stock = QueueSpec(name="c.stock", bindings=("shop.stock.*.v1", "shop.product.#"))
    topology = Topology(queues=(orders, stock))
    assert topology.queue_for("shop.product.created.v1") is stock
    assert topology.queue_for("shop.order.created.v1") is orders
    assert topology.queue_for("shop.customer.created.v1") is None


def test_refuses_a_queue_without_bindings() -> None:
    with pytest.raises(ConfigInvalid, match=r"'c\.orders'.*no binding"):
        QueueSpec(name="c.orders", bindings=())


@pytest.mark.parametrize("name", ["", "q" * 256])
def test_refuses_names_that_amqp_cannot_carry(name: str) -> None:
    with pytest.raises(ConfigInvalid, match="AMQP takes 1 to 255"):
        QueueSpec(name=name, bindings=("#",))


def test_refuses_two_queues_of_one_name() -> None:
    queue = QueueSpec(name="c.orders", bindings=("#",))
    with pytest.raises(ConfigInvalid, match="configured twice"):
        Topology(queues=(queue, queue))
