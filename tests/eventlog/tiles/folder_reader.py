"""A reader of published folders that knows only the specifications (C2SP tlog-tiles, RFC 6962)."""

import base64
from hashlib import sha256
from pathlib import Path

from tests.eventlog.naive_merkle import naive_root, split

WIDTH = 256


class FolderReader:
    """Reads every tile that the checkpoint needs, and compares all of them with each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        text, _, _ = (folder / "checkpoint").read_text().partition("\n\n")
        self.origin, size, root = text.splitlines()
        self.size, self.root = int(size), base64.b64decode(root)

    def check(self, first_index: int = 0) -> list[bytes]:
        """Return the leaves from `first_index` on; fails when anything contradicts anything."""
        hashes = self._level(0, self.size)
        assert _root(hashes) == self.root
        level, below, count = 1, hashes, self.size // WIDTH
        while count:
            roots = [_root(below[at * WIDTH : (at + 1) * WIDTH]) for at in range(count)]
            assert self._level(level, count) == roots, f"tiles of level {level}"
            level, below, count = level + 1, roots, count // WIDTH
        leaves = []
        for number in range(first_index // WIDTH, -(-self.size // WIDTH)):
            leaves += self._bundle(number)
        assert [naive_root([leaf]) for leaf in leaves] == hashes[first_index:]
        return leaves

    def _level(self, level: int, count: int) -> list[bytes]:
        data = b"".join(self._read(level, number, count) for number in range(-(-count // WIDTH)))
        assert len(data) == 32 * count
        return [data[at : at + 32] for at in range(0, len(data), 32)]

    def _bundle(self, number: int) -> list[bytes]:
        data, leaves = self._read("entries", number, self.size), []
        while data:
            length = 2 + int.from_bytes(data[:2], "big")
            leaves.append(data[2:length])
            data = data[length:]
        return leaves

    def _read(self, level: int | str, number: int, count: int) -> bytes:
        width = min(WIDTH, count - number * WIDTH)
        name = f"{number:03}" if number < 1000 else f"x{number // 1000:03}/{number % 1000:03}"
        partial = "" if width == WIDTH else f".p/{width}"
        return (self.folder / "tile" / str(level) / f"{name}{partial}").read_bytes()


def _root(hashes: list[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    if not hashes:
        return naive_root([])
    if len(hashes) == 1:
        return hashes[0]
    k = split(len(hashes))
    return sha256(b"\x01" + _root(hashes[:k]) + _root(hashes[k:])).digest()
