"""Settings of how long persons' data can be read."""

from typing import Annotated

from pydantic import Field

from bridge.eventlog.keeping.retention import FLOORS, ClassRule, Floor, refuse_below_floors
from bridge.runtime.configuration.section import Section

_NAME = r"^[a-z][a-z0-9-]{0,30}$"
"""As contracts name classes."""

_DAYS_MAX = 36_525
"""A hundred years: longer is for ever, which is no rule at all."""


class RetentionSettings(Section):
    """How long sealed records of one class stay readable."""

    keep_days: int = Field(ge=1, le=_DAYS_MAX)
    """At least so many days; at most a year longer, because keys are destroyed by calendar year."""
    floors: tuple[str, ...] = ()
    """Names of legal floors, ours or of `event_log.floors`: no start with a shorter `keep_days`."""


class FloorSettings(Section):
    """A legal floor of the deployment's own."""

    days: int = Field(ge=1, le=_DAYS_MAX)
    source: str = Field(min_length=1)
    """Which law or contract says so; told when a rule is below it."""


ClassName = Annotated[str, Field(pattern=_NAME)]


def class_rules(
    retention: dict[str, RetentionSettings], floors: dict[str, FloorSettings]
) -> dict[str, ClassRule]:
    """Return the rules; raises `ConfigInvalid` for one below its floor."""
    rules = {
        name: ClassRule(keep_days=rule.keep_days, floors=rule.floors)
        for name, rule in retention.items()
    }
    refuse_below_floors(rules, all_floors(floors))
    return rules


def all_floors(floors: dict[str, FloorSettings]) -> dict[str, Floor]:
    """Return our floors and the deployment's own, which go before ours."""
    own = {name: Floor(floor.days, floor.source) for name, floor in floors.items()}
    return {**FLOORS, **own}
