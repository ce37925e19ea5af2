"""The SELECT statements of polling. Every value is a parameter; every name is quoted."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    TableClause,
    and_,
    bindparam,
    column,
    or_,
    select,
    table,
    true,
)
from sqlalchemy.types import NullType

from adapters.polling.dialects import Dialect
from adapters.polling.inspection import InspectedTable
from bridge.capture.polling.horizon import Growth
from bridge.capture.polling.scalars import Scalar


class Queries:
    """Makes the statements of one table.

    Each selects the cells, then what the next page goes on from: order column and key.
    """

    def __init__(self, dialect: Dialect, inspected: InspectedTable) -> None:
        self._dialect = dialect
        self._inspected = inspected
        self._polled = inspected.polled
        self._from: TableClause = table(inspected.table, schema=inspected.schema)

    def page(
        self, lower: Scalar | None, after: tuple[Scalar, ...] | None, rows_max: int
    ) -> Select[Any]:
        """Select rows by order column and key, from `lower` on, behind `after`."""
        name = self._polled.plan.column
        assert name is not None, "a table without an order column is read by key"
        order: ColumnElement[Any] = column(name)
        by = [order, *self._key_columns()]
        where: ColumnElement[bool] = order.is_not(None)
        if after is not None:
            # The first term says nothing new, but lets an index begin at the right place.
            where = and_(order >= self._bind(after[0]), self._behind(by, after))
        elif lower is not None:
            where = order >= self._bind(lower)
        return self._select(
            self._cells(), self._order_place(), self._key_places(), where, by, rows_max
        )

    def chunk(
        self, after: tuple[Scalar, ...] | None, rows_max: int, *, keys_only: bool = False
    ) -> Select[Any]:
        """Select rows by key, behind `after`."""
        by = self._key_columns()
        where = true() if after is None else self._behind(by, after)
        cells = self._cells()
        if keys_only:
            cells = [cells[place] for place in self._polled.key_cells]
        order = [] if keys_only else self._order_place()
        return self._select(cells, order, self._key_places(), where, by, rows_max)

    def every_row(self) -> Select[Any]:
        """Select all rows in any order."""
        return self._select(self._cells(), [], [], true(), [], None)

    def first_row(self) -> Select[Any]:
        """Select a constant from the table: the transaction's view of it begins here."""
        return select(self._literal_one()).select_from(self._from).limit(1)

    def _select(
        self,
        cells: list[ColumnElement[Any]],
        order: list[ColumnElement[Any]],
        key: list[ColumnElement[Any]],
        where: ColumnElement[bool],
        by: list[ColumnElement[Any]],
        rows_max: int | None,
    ) -> Select[Any]:
        # Labels, so that ORDER BY means the column and not the text that is made of it.
        labelled = [one.label(f"c{index}") for index, one in enumerate([*cells, *order, *key])]
        query = select(*labelled).select_from(self._from).order_by(*by)
        if where is not true():
            query = query.where(where)
        return query if rows_max is None else query.limit(rows_max)

    def _cells(self) -> list[ColumnElement[Any]]:
        return [one.expression for one in self._inspected.columns]

    def _order_place(self) -> list[ColumnElement[Any]]:
        ordering, name = self._polled.ordering, self._polled.plan.column
        if ordering is None or name is None:
            return []
        if self._dialect.places_are_texts and ordering.growth is not Growth.SEQUENCE:
            return [self._text_of(name)]
        return [column(name)]

    def _key_places(self) -> list[ColumnElement[Any]]:
        if self._dialect.places_are_texts:
            return [self._text_of(name) for name in self._polled.key]
        return list(self._key_columns())

    def _key_columns(self) -> list[ColumnElement[Any]]:
        return [column(name) for name in self._polled.key]

    def _text_of(self, name: str) -> ColumnElement[Any]:
        return next(one.expression for one in self._inspected.columns if one.name == name)

    def _behind(
        self, by: list[ColumnElement[Any]], after: tuple[Scalar, ...]
    ) -> ColumnElement[bool]:
        """Return `(a, b, …) > (x, y, …)` in the words that every database knows."""
        steps = []
        for index, (one, value) in enumerate(zip(by, after, strict=True)):
            equal = [b == self._bind(a) for b, a in zip(by[:index], after[:index], strict=True)]
            steps.append(and_(*equal, one > self._bind(value)))
        return or_(*steps)

    def _bind(self, value: Scalar) -> ColumnElement[Any]:
        # Without a type, so that the driver's own value reaches the database as it came.
        return bindparam(None, self._dialect.bound(value), type_=NullType(), unique=True)

    @staticmethod
    def _literal_one() -> ColumnElement[Any]:
        return bindparam(None, 1, type_=NullType(), unique=True).label("one")
