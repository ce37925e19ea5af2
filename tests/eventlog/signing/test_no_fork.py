"""Whatever happens to the log and its keys, no two signed heads contradict each other."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.rotation import rotate_key, settle_keys
from bridge.eventlog.signing.signer import Signer
from bridge.model.entry import Appended, CursorMove, EntryDraft
from bridge.model.errors import LimitExceeded, LogCorrupt
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import draft
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.naive_merkle import naive_root
from tests.eventlog.signing.killed_rotations import NOW, ORIGIN, WARRANT

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grow"), st.integers(1, 300)),
        st.tuples(st.just("rotate"), st.integers(0, 40)),
        st.tuples(st.just("later"), st.integers(1, 60)),
        # What an operator could do: another history from some entry on, or an old backup.
        st.tuples(st.just("fork"), st.integers(0, 400)),
        st.tuples(st.just("restore"), st.integers(0, 400)),
        # The log forgets its checkpoints, or a stranger's checkpoint is put in.
        st.tuples(st.just("forget"), st.just(0)),
        st.tuples(st.just("stranger"), st.just(0)),
    ),
    min_size=1,
    max_size=14,
)


class Rebuildable(MemoryEventLog):
    """A log that can be made again from what was appended."""

    def __init__(self, drafts: Sequence[EntryDraft] = ()) -> None:
        super().__init__()
        self.drafts: list[EntryDraft] = []
        if drafts:
            self.append(drafts)

    def append(self, drafts: Sequence[EntryDraft], *, cursor: CursorMove | None = None) -> Appended:
        known = {each.entry_id for each in self.drafts}
        self.drafts += [each for each in drafts if each.entry_id not in known]
        return super().append(drafts, cursor=cursor)

    def leaves(self, size: int) -> list[bytes]:
        return [entry.leaf for entry in self.read(0, size)]


class Game:
    """An operator who tries, and a signer whose files he leaves alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = Rebuildable()
        self.signer = Signer.load_or_create(folder / "log.key", origin=ORIGIN)
        self.now = NOW
        self.made = 0
        self.signed: list[tuple[int, bytes]] = []

    def play(self, step: str, number: int) -> None:
        if step == "grow":
            self.log.append([self._draft() for _ in range(number)])
        elif step == "rotate":
            try:
                rotate_key(self.signer, self.log, WARRANT, overlap_days=number, now=self.now)
            except LimitExceeded:
                assert len(self.signer.keys) == 4
        elif step == "later":
            self.now += timedelta(days=number)
            settle_keys(self.signer, self.log, now=self.now)
        elif step == "fork":
            kept = self.log.drafts[:number]
            rest = len(self.log.drafts) - len(kept)
            self.log = Rebuildable([*kept, *(self._draft() for _ in range(rest + 1))])
        elif step == "restore":
            self.log = Rebuildable(self.log.drafts[:number])
        elif step == "forget":
            self.log = Rebuildable(self.log.drafts)
        else:
            self._stranger()

    def sign(self) -> None:
        """Sign, and check that it was signed just when it continues all that was signed."""
        size = self.log.head().size
        continues = all(
            before <= size and naive_root(self.log.leaves(before)) == root
            for before, root in self.signed
        )
        try:
            head, _ = HeadSigner(self.signer, self.log).sign()
        except LogCorrupt:
            assert not continues, "an honest head was refused"
            return
        assert continues, "a head was signed that contradicts an earlier one"
        self.signed.append((head.size, head.root))

    def _draft(self) -> EntryDraft:
        self.made += 1
        return draft(self.made)

    def _stranger(self) -> None:
        other = self.folder / "stranger"
        stranger = Signer.load_or_create(other / "log.key", origin=ORIGIN)
        somewhere = MemoryEventLog()
        somewhere.append([draft(10_000_000)])
        _, note = HeadSigner(stranger, somewhere).sign()
        self.log.add_checkpoint(1, note)


@settings(EXAMPLES, max_examples=25)
@given(steps=STEPS)
def test_no_play_gets_a_fork_signed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    play(Game(tmp_path_factory.mktemp("keys")), steps)


@pytest.mark.soak
@pytest.mark.timeout(1_800)
@settings(EXAMPLES, max_examples=2_000)
@given(steps=STEPS)
def test_no_long_search_for_a_play_gets_a_fork_signed(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    play(Game(tmp_path_factory.mktemp("keys")), steps)


def play(game: Game, steps: list[tuple[str, int]]) -> None:
    game.play("grow", 5)
    game.sign()
    for step, number in steps:
        game.play(step, number)
        game.sign()
