"""Waiting ends with the value, or fails with what was waited for."""

import asyncio
import threading

import pytest

from tests.waiting import RecordingObserver, wait_until, wait_until_async


def test_waiting_returns_the_first_true_value() -> None:
    values = iter([None, 0, "there"])
    assert wait_until(lambda: next(values)) == "there"


def test_waiting_in_vain_names_what_was_missed() -> None:
    with pytest.raises(AssertionError, match=r"in vain for the moon; last: 0"):
        wait_until(lambda: 0, timeout_s=0.05, what="the moon")


def test_the_async_twin_takes_functions_and_coroutine_functions() -> None:
    async def there() -> str:
        return "there"

    assert asyncio.run(wait_until_async(there)) == "there"
    assert asyncio.run(wait_until_async(lambda: 7)) == 7
    with pytest.raises(AssertionError, match="the moon"):
        asyncio.run(wait_until_async(lambda: 0, timeout_s=0.05, what="the moon"))


def test_a_note_is_awaited_by_name_and_facts() -> None:
    observer = RecordingObserver()
    observer.note("appended", entries=1)
    later = threading.Timer(0.05, observer.note, ["appended"], {"entries": 2, "source": "shop"})
    later.start()
    assert observer.await_note("appended", entries=2) == {"entries": 2, "source": "shop"}
    later.join()
    assert len(observer.notes("appended")) == 2
    with pytest.raises(AssertionError, match=r"heard: \['appended'\]"):
        observer.await_note("published", timeout_s=0.05)
    observer.clear()
    assert observer.notes() == []
