"""The low-water mark is the unbroken run of confirmed messages, whatever the broker's order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.rabbitmq.confirm_window import ConfirmWindow
from bridge.model.errors import DecodeError


def window(count: int) -> ConfirmWindow:
    """Return a window of `count` messages with leaf indices 10, 20, 30, …"""
    made = ConfirmWindow()
    for number in range(1, count + 1):
        made.sent(number * 10, 100)
    return made


def test_nothing_is_confirmed_at_first() -> None:
    made = window(3)
    assert (made.through, len(made), made.bytes, made.oldest_index) == (-1, 3, 300, 10)


def test_a_gap_holds_the_mark() -> None:
    made = window(3)
    made.confirm(2, multiple=False)
    made.confirm(3, multiple=False)
    assert (made.through, made.oldest_index) == (-1, 10)
    made.confirm(1, multiple=False)
    assert (made.through, len(made), made.bytes) == (30, 0, 0)


def test_multiple_passes_over_early_answers() -> None:
    made = window(5)
    made.confirm(2, multiple=False)
    made.confirm(4, multiple=False)
    made.confirm(3, multiple=True)
    assert (made.through, len(made)) == (40, 1)


@pytest.mark.parametrize(("tag", "multiple"), [(0, False), (4, False), (4, True), (1, True)])
def test_an_answer_to_nothing_is_refused(tag: int, multiple: bool) -> None:
    made = window(3)
    made.confirm(1, multiple=False)
    with pytest.raises(DecodeError, match="outstanding are 2 from 2 on"):
        made.confirm(tag, multiple=multiple)


@given(st.data())
def test_agrees_with_a_set(data: st.DataObject) -> None:
    made = ConfirmWindow()
    sent = 0
    unanswered: set[int] = set()
    while sent < 60 or unanswered:
        if not unanswered or (sent < 60 and data.draw(st.booleans())):
            sent += 1
            made.sent(sent * 10, 1)
            unanswered.add(sent)
        else:
            tag = data.draw(st.sampled_from(sorted(unanswered)))
            multiple = data.draw(st.booleans())
            made.confirm(tag, multiple=multiple)
            unanswered -= {other for other in unanswered if other <= tag} if multiple else {tag}
        through = min(unanswered, default=sent + 1) - 1
        assert made.through == (through * 10 if through else -1)
        assert len(made) == made.bytes == sent - through
