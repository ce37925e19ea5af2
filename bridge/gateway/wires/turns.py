"""An event loop that reads what is ready, lets it be handled, and only then writes.

asyncio hands each ready socket to a callback, which reads, works and writes before the next one is
read. Where the other end sleeps on another core, every single write wakes it: on a virtual machine
that is the dearest part of a proxied request. Here a turn of the loop reads everything that is
ready, and what was written meanwhile leaves together at the end of the turn: whoever was woken by
the first write is still awake at the last. A turn is bounded, so an answer waits for at most some
dozens of others; on an idle loop there is nothing to wait for.

All names of asyncio that this rests on are public: a loop may be given a selector, and a selector
may do work of its own before it returns. asyncio's own descriptors (its self-pipe, listeners,
pipes) stand in a selector of the standard library behind this one.
"""

import asyncio
import math
import select
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, Final, Protocol, TypeAlias, TypeVar

T = TypeVar("T")

_READ: Final = select.EPOLLIN

# Reads of one turn before the writes leave: at 20 us each an answer waits for 1.3 ms at most.
_EVENTS_MAX: Final = 64


class _HasDescriptor(Protocol):
    def fileno(self) -> int: ...


_File: TypeAlias = int | _HasDescriptor


class Watched(Protocol):
    """A socket of the loop's turns."""

    def readable(self) -> None:
        """There is something to read, and nothing else."""

    def ready(self, event: int) -> None:
        """Something else, or more: `event` is what epoll says."""

    def flush(self) -> bool:
        """Send what was written in this turn; return whether anybody was told of anything."""


class Turns(selectors.BaseSelector):
    """Waits for sockets, and serves those that are `watch`ed by itself."""

    def __init__(self) -> None:
        self._others = selectors.EpollSelector()
        self._others_fd = self._others.fileno()
        self._epoll = select.epoll()
        self._epoll.register(self._others_fd, _READ)
        self._watched: dict[int, Watched] = {}
        self.unsent: list[Watched] = []
        """Who has written in this turn."""

    # -- sockets that are served here -----------------------------------------------------------

    def watch(self, fd: int, watched: Watched, before: int, now: int) -> None:
        """Wait for other events of a descriptor; 0 means that it is not waited for."""
        if before == 0:
            self._watched[fd] = watched
            self._epoll.register(fd, now)
        elif now == 0:
            del self._watched[fd]
            self._epoll.unregister(fd)
        else:
            self._epoll.modify(fd, now)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait, serve what is watched, and return the events of all others."""
        if self.unsent and self._flush():
            timeout = 0  # Whoever was told may have given the loop something to do.
        if timeout is None:
            wait_s = -1.0
        else:
            # epoll counts milliseconds: rounded down, the loop would spin until a timer is due.
            wait_s = math.ceil(timeout * 1_000) / 1_000 if timeout > 0 else 0.0
        try:
            events = self._epoll.poll(wait_s, _EVENTS_MAX)
        except InterruptedError:
            return []
        watched = self._watched
        others = False
        for fd, event in events:
            found = watched.get(fd)
            if found is None:
                others = others or fd == self._others_fd
            elif event == _READ:
                found.readable()
            else:
                found.ready(event)
        if self.unsent:
            self._flush()
        return self._others.select(0) if others else []

    def _flush(self) -> bool:
        told = False
        while self.unsent:
            unsent, self.unsent = self.unsent, []
            for each in unsent:
                if each.flush():
                    told = True
        return told

    # -- asyncio's own --------------------------------------------------------------------------

    def register(self, fileobj: _File, events: int, data: object = None) -> selectors.SelectorKey:
        """See `selectors.BaseSelector`."""
        return self._others.register(fileobj, events, data)

    def unregister(self, fileobj: _File) -> selectors.SelectorKey:
        """See `selectors.BaseSelector`."""
        return self._others.unregister(fileobj)

    def modify(self, fileobj: _File, events: int, data: object = None) -> selectors.SelectorKey:
        """See `selectors.BaseSelector`."""
        return self._others.modify(fileobj, events, data)

    def get_key(self, fileobj: _File) -> selectors.SelectorKey:
        """See `selectors.BaseSelector`."""
        return self._others.get_key(fileobj)

    def get_map(self) -> Mapping[_File, selectors.SelectorKey]:
        """See `selectors.BaseSelector`."""
        return self._others.get_map()

    def close(self) -> None:
        """Close both."""
        self._epoll.close()
        self._others.close()


class TurnLoop(asyncio.SelectorEventLoop):
    """asyncio's loop over `Turns`."""

    def __init__(self) -> None:
        self.turns = Turns()
        super().__init__(self.turns)


def run_in_turns(main: Coroutine[Any, Any, T]) -> T:
    """Run like `asyncio.run`, in turns."""
    with asyncio.Runner(loop_factory=TurnLoop) as runner:
        return runner.run(main)
