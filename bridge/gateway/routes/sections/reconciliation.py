"""How the entities of a group are read on both sides, and how one is repaired.

It stands on the route that reads one entity by its key. The entities are those of the id map, and
those that capture saw in a table of the legacy database.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Field, model_validator

from bridge.gateway.routes.path_template import parameters
from bridge.gateway.routes.sections.section import Count, Name, Pointer, RouteShape, Section


class RepairRules(Section):
    """Routes of the same group by which the other side is given what the authority has."""

    put: Name | None = None
    """Writes the whole entity: its body is the authority's answer."""
    create: Name | None = None
    """As `put`, for an entity that the other side does not have; without it `put` does."""
    delete: Name | None = None
    """Takes away an entity that only the other side has."""
    without: tuple[Pointer, ...] = ()
    """Members of the authority's answer that the write does not take."""


class ReconciliationRules(Section):
    """How an entity is looked at on both sides; without `entity` it is not."""

    entity: Name | None = None
    """What kind of thing it is, as the id map calls it."""
    key: str | None = None
    """The `{name}` of the path that is its key; without it the only one."""
    sample: Annotated[float, Field(ge=0, le=1)] = 0.05
    """The part of finished writes after which both sides are read."""
    keys_per_s: Annotated[float, Field(gt=0, le=10_000)] = 5.0
    """How many entities a walk reads on each side in a second."""
    range_count: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 50
    """How many keys share one digest."""
    wait_ms: Count = 500
    """Before both sides are read a second time: a difference counts when both agree twice."""
    subject: str | None = None
    """The contract whose events tell what the legacy table holds."""
    subject_key: str | None = None
    """The field of the event's key that is the entity's id; without it the only one."""
    fields: Mapping[Pointer, str] = {}
    """Members of the answer, each with the field of the captured row that it shows: the table is
    then compared with modern's answers, without asking the legacy application."""
    mark: str | None = None
    """The field of the captured row in which the legacy application keeps the header
    `legacy-bridge-replay` of the request that wrote the row last, and nothing when there is none:
    by it the echo of a replay is told from a write past the gateway at the same time."""
    repair: RepairRules = RepairRules()
    """How a difference is repaired; what is not said cannot be."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.entity is None and self.model_fields_set - {"sample", "keys_per_s", "range_count"}:
            raise ValueError("names no 'entity': say what kind of thing the route reads")
        if self.fields and self.subject is None:
            raise ValueError("'fields' needs 'subject': the contract of the captured table")
        if self.mark is not None and self.subject is None:
            raise ValueError("'mark' needs 'subject': the contract of the captured table")
        return self

    def refuse_misfit(self, route: RouteShape) -> None:
        """Refuse a route that does not read one entity by its path."""
        if self.entity is None:
            return
        names = parameters(route.path)
        if route.writes or b"GET" not in route.methods:
            raise ValueError("'reconcile' stands on a route that reads with GET")
        if self.key is None and len(names) != 1:
            raise ValueError("'reconcile' needs 'key': the path has not exactly one {name}")
        if self.key is not None and (self.key not in names or len(names) != 1):
            raise ValueError(f"'reconcile.key' {self.key!r} is not the one {{name}} of the path")
