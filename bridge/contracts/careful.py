"""Read a row cell by cell: what was not sent, what cannot be read, what JSON cannot say.

The way for everything rare. Nothing of a row is lost here: what cannot be read as its mapping says
is kept as the database sent it.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from bridge.contracts.rows import Cell, Fields
from bridge.contracts.structures import Bounds
from bridge.model.change import UNSENT, BeforeImage, ChangeKind, Row, RowChange

# What a text that does not convert may raise: see `conversions`.
UNCONVERTIBLE: Final = (ValueError, KeyError, TypeError, IndexError)

_AS_TEXT: Final = frozenset(("string", "text"))


class Reading:
    """What became of one change."""

    def __init__(self) -> None:
        self.data: Fields = {"key": None}
        self.problems: list[str] = []
        """Why this is no event of the contract, in the order of the fields."""
        self.undecoded: list[dict[str, str]] = []
        """Those of the problems that are a text which cannot be read, with the text."""
        self._exact: list[tuple[str, str, Any]] = []
        self._base64: list[str] = []
        self._bounds: Bounds = {}
        self.refilled: list[str] = []
        self.unavailable: list[str] = []

    @property
    def remarks(self) -> list[str]:
        """What the contract may not take, besides values: for the reason of a refusal."""
        return [f"{path}: is not UTF-8" for path in self._base64] + [
            f"{path}: has shifted bounds" for path in self._bounds
        ]

    def read(self, cell: Cell, row: Row, side: str) -> None:
        """Read one cell that was sent into `data[side]`."""
        value = row[cell.column]
        name = cell.rule.name
        into = self.data[side]
        assert value is not UNSENT, "the caller passes over unsent cells"
        path = f"/{side}/{name}"
        if value is None:
            into[name] = None
        elif cell.protect is not None:
            into[name] = cell.protect(value)
        elif isinstance(value, bytes):
            self._read_bytes(cell, value, side, path)
        else:
            try:
                into[name] = cell.read(value, path, self._bounds)
                if cell.exact is not None:
                    self._exact.append((side, name, cell.exact(value, path, {})))
            except UNCONVERTIBLE:
                into[name] = value
                self._cannot_read(cell, path, {"text": value})

    def _read_bytes(self, cell: Cell, value: bytes, side: str, path: str) -> None:
        """Keep a text that is not UTF-8, as base64."""
        text = base64.b64encode(value).decode("ascii")
        shape = cell.rule.shape
        if shape.name in _AS_TEXT and cell.rule.codes is None:
            read: Any = text
            if shape.name == "text":
                read = {**cell.read("", path, {}), "text": text}
            self.data[side][cell.rule.name] = read
            self._base64.append(path)
        else:
            self.data[side][cell.rule.name] = text
            self._cannot_read(cell, path, {"base64": text})

    def _cannot_read(self, cell: Cell, path: str, raw: dict[str, str]) -> None:
        if cell.rule.codes is not None:
            self.problems.append(f"{path}: is a code that the mapping does not know")
            return
        self.problems.append(f"{path}: cannot be read as {cell.rule.type}")
        self.undecoded.append({"path": path, "type": cell.rule.type, **raw})

    def refill(self, known: Mapping[str, bytes]) -> None:
        """Take what was not sent from `known`, JSON texts by field."""
        for name in [name for name in self.unavailable if name in known]:
            text = known[name]
            self.data["after"][name] = orjson.loads(text)
            self._exact.append(("after", name, orjson.Fragment(text)))
            self.unavailable.remove(name)
            self.refilled.append(name)

    def find_key(self, choose: Callable[[Fields], Fields]) -> None:
        """Fill `data["key"]` from the new row, and what that did not send from the old one."""
        known = self.data.get("before", {}) | self.data.get("after", {})
        try:
            self.data["key"] = choose(known)
        except KeyError as exc:
            self.problems.append(
                f"/key/{exc.args[0]}: was not sent; is it in the replica identity?"
            )

    def finish(self) -> None:
        """Name beside the row what it does not say itself."""
        members: dict[str, Any] = {
            "unavailable": self.unavailable,
            "refilled": self.refilled,
            "base64": self._base64,
            "bounds": self._bounds,
        }
        self.data.update((name, member) for name, member in members.items() if member)

    def without_undecoded(self) -> Fields:
        """Return the data with undecodable fields under `decode_error` instead of in the rows."""
        lost = {entry["path"] for entry in self.undecoded}
        data = dict(self.data)
        for side in ("after", "before"):
            if side in data:
                row = data[side]
                data[side] = {n: v for n, v in row.items() if f"/{side}/{n}" not in lost}
        data["decode_error"] = self.undecoded
        return data

    def is_key_undecoded(self, names: tuple[str, ...]) -> bool:
        """Whether a field of the key is among those that could not be read."""
        return any(entry["path"].rpartition("/")[2] in names for entry in self.undecoded)

    def splice(self, data: Fields) -> None:
        """Put exact texts in the place of the values that stood for them in validation."""
        for side, name, exact in self._exact:
            if name in data[side]:
                data[side][name] = exact


def read_change(
    cells: tuple[Cell, ...],
    change: RowChange,
    choose_key: Callable[[Fields], Fields] | None,
    known: Mapping[str, bytes],
) -> Reading:
    """Return everything that `change` says; never raises for what its rows hold."""
    reading = Reading()
    after, before = change.after, change.before
    if after is not None:
        reading.data["after"] = {}
        for cell in cells:
            if after[cell.column] is UNSENT:
                reading.unavailable.append(cell.rule.name)
            else:
                reading.read(cell, after, "after")
    if before is not None:
        reading.data["before"] = {}
        for cell in cells:
            sent = cell.is_key or change.before_image is BeforeImage.FULL
            if sent and before[cell.column] is not UNSENT:
                reading.read(cell, before, "before")
    if known:
        reading.refill(known)
    if choose_key is not None and change.kind is not ChangeKind.TRUNCATED:
        reading.find_key(choose_key)
    reading.finish()
    return reading
