"""Last known values in memory: the twin of the SQLite store, for tests and short-lived captures."""

from collections.abc import Iterable, Mapping

from bridge.capture.mapping.last_values import Place
from bridge.capture.mapping.remembered import Effect, Remembered


class MemoryLastValues:
    """`LastValueStore` that ends with its process; the log fills a new one."""

    def __init__(self) -> None:
        self._places: dict[str, Place] = {}
        self._rows: dict[str, dict[str, dict[str, Remembered]]] = {}

    def places(self) -> Mapping[str, Place]:
        """Return the place of every table that has one."""
        return dict(self._places)

    def find(self, table: str, key: str) -> Mapping[str, Remembered]:
        """Return what is remembered of a row."""
        return dict(self._rows.get(table, {}).get(key, {}))

    def apply(self, changes: Iterable[tuple[str, Effect]], places: Mapping[str, Place]) -> None:
        """Apply effects on tables in their order, and move places."""
        for table, effect in changes:
            rows = self._rows.setdefault(table, {})
            if effect.key is None:
                rows.clear()
            elif effect.fields is None:
                rows.pop(effect.key, None)
            else:
                row = rows.setdefault(effect.key, {})
                for field, remembered in effect.fields.items():
                    if remembered is None:
                        row.pop(field, None)
                    else:
                        row[field] = remembered
        self._places.update(places)

    def drop(self, table: str) -> None:
        """Forget a table and its place."""
        self._rows.pop(table, None)
        self._places.pop(table, None)
