"""What tamper evidence costs stays within what was promised (processor time, not time of day)."""

from tests.bench.log_budget import measure


def test_every_cost_is_within_its_limit() -> None:
    for name, limit in measure().items():
        assert limit.found <= limit.most, f"{name}: {limit.found:.2f} {limit.unit}"
