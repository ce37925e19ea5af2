"""How hypothesis runs here: without a stopwatch, as a busy machine is no finding."""

from hypothesis import HealthCheck, settings

EXAMPLES = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
