"""A log that lacks what others know of it is found, however it came to that."""

import pytest

from bridge.eventlog.restoration import Loss, Witnessed, find_loss, restored_error
from bridge.eventlog.stored_hashes import stored_frontier
from bridge.model.errors import LogRestored
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts


def log_of(count: int, *, source: str = "shop", after: int = 0) -> MemoryEventLog:
    log = MemoryEventLog()
    log.append(drafts(0, after or count))
    if after:
        log.append(drafts(after, count, source=source))
    return log


def head_of(log: MemoryEventLog, size: int) -> Witnessed:
    return Witnessed("the signing key", size, stored_frontier(log, size).root())


def test_a_log_that_has_everything_lost_nothing() -> None:
    log = log_of(900)
    known = [Witnessed("sink 'rabbitmq'", 900), head_of(log, 700), head_of(log, 900)]
    assert find_loss(log, known) is None
    assert find_loss(log, []) is None
    assert find_loss(MemoryEventLog(), [Witnessed("sink 'rabbitmq'", 0)]) is None


@pytest.mark.parametrize("left", [0, 1, 256, 699])
def test_a_cut_log_is_found_by_what_was_signed(left: int) -> None:
    whole = log_of(900)
    cut = log_of(left) if left else MemoryEventLog()
    loss = find_loss(cut, [head_of(whole, 700), Witnessed("sink 'rabbitmq'", 300)])
    assert loss == Loss(left, 700, "the signing key", False)
    error = restored_error(loss, left)
    assert isinstance(error, LogRestored)
    assert f"it has {left} entries, but the signing key knows of 700" in str(error)


def test_a_cut_log_is_found_by_what_was_published() -> None:
    loss = find_loss(log_of(500), [head_of(log_of(500), 400), Witnessed("sink 'rabbitmq'", 650)])
    assert loss == Loss(500, 650, "sink 'rabbitmq'", False)


def test_a_log_that_went_on_from_an_old_backup_is_found() -> None:
    whole = log_of(900)
    forked = log_of(1_200, source="crm", after=500)
    forked.add_checkpoint(450, b"note")
    forked.add_checkpoint(1_100, b"note")
    loss = find_loss(forked, [head_of(whole, 800)])
    assert loss == Loss(450, 800, "the signing key", True)
    assert "its first 800 entries are not those that the signing key knows" in str(
        restored_error(loss, 1_200)
    )


def test_the_greatest_loss_is_told() -> None:
    loss = find_loss(log_of(10), [Witnessed("sink 'a'", 20), Witnessed("sink 'b'", 30)])
    assert loss is not None
    assert (loss.stop, loss.who) == (30, "sink 'b'")
