"""Stages in memory, for tests of the pure parts; the second implementation of their ports."""


class MemoryStages:
    """Implements `StageStore`."""

    def __init__(self) -> None:
        self.stages: dict[int, MemoryStage] = {}

    def create(self, xid: int) -> "MemoryStage":
        """Return an empty stage."""
        stage = self.stages[xid] = MemoryStage()
        return stage

    def clear(self) -> None:
        """Forget all."""
        self.stages.clear()

    @property
    def kept(self) -> int:
        """How many stages were not removed."""
        return sum(not stage.removed for stage in self.stages.values())


class MemoryStage:
    """Implements `StageFile`."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.resting = True
        self.removed = False

    def append(self, data: bytes) -> None:
        """Keep it."""
        self.resting = False
        self.data += data

    def read(self, offset: int, size: int) -> bytes:
        """Return it."""
        return bytes(self.data[offset : offset + size])

    def cut(self, size: int) -> None:
        """Forget the rest."""
        del self.data[size:]

    def rest(self) -> None:
        """Note it."""
        self.resting = True

    def remove(self) -> None:
        """Note it."""
        self.data.clear()
        self.removed = True
