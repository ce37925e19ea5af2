"""Steps of the dual write at which a process of the gateway can be told to die.

A file arms one step of one role: its name and how often it is passed before the kill. The process
removes the file and kills itself with -9, so that the next one lives.
"""

import functools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

# In the order of the protocol: of a worker, and of the replayer with the resolver.
WORKER_STEPS = ("before-intent", "after-intent", "after-call", "after-outcome")
REPLAY_STEPS = ("before-replay", "after-replay", "after-finish", "before-settle", "after-settle")


def install(armed: Path, role: str) -> None:
    """Let this process die at armed steps; for test processes alone."""
    from adapters.upstream.client import UpstreamClient
    from bridge.gateway.dual.replay_attempt import Attempts
    from bridge.storage.journal.postgres import PostgresJournal
    from bridge.storage.journal.sqlite import SqliteJournal

    def hit(step: str) -> None:
        try:
            name, left = armed.read_text().split()
        except (OSError, ValueError):
            return
        if name != step:
            return
        if int(left) > 0:
            armed.write_text(f"{name} {int(left) - 1}")
            return
        armed.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def around(owner: Any, method: str, before: str | None, after: str | None) -> None:
        inner: Callable[..., Any] = getattr(owner, method)

        @functools.wraps(inner)
        async def outer(*args: Any, **kwargs: Any) -> Any:
            if before is not None:
                hit(before)
            result = await inner(*args, **kwargs)
            if after is not None:
                hit(after)
            return result

        setattr(owner, method, outer)

    if role == "replay":
        around(Attempts, "send", "before-replay", "after-replay")
    else:
        around(UpstreamClient, "exchange", None, "after-call")
        _around_answers(hit, UpstreamClient, "after-call")
    for journal in (SqliteJournal, PostgresJournal):
        if role == "replay":
            around(journal, "finish", None, "after-finish")
            around(journal, "settle", "before-settle", "after-settle")
        else:
            around(journal, "open", "before-intent", "after-intent")
            around(journal, "settle", None, "after-outcome")
            _around_soon(hit, journal, "open_soon", "before-intent", "after-intent")
            _around_soon(hit, journal, "settle_soon", None, "after-outcome")


def _around_soon(
    hit: Callable[[str], None], owner: Any, method: str, before: str | None, after: str
) -> None:
    inner: Callable[..., Any] = getattr(owner, method)

    @functools.wraps(inner)
    def outer(*args: Any, done: Callable[..., None], **kwargs: Any) -> None:
        def hit_first(error: Exception | None, result: object) -> None:
            if error is None:
                hit(after)
            done(error, result)

        if before is not None:
            hit(before)
        inner(*args, done=hit_first, **kwargs)

    setattr(owner, method, outer)


def _around_answers(hit: Callable[[str], None], owner: Any, after: str) -> None:
    inner: Callable[..., Any] = owner.begin

    def begin(self: Any, user: Any, *args: Any, **kwargs: Any) -> None:
        inner(self, _HitFirst(user, lambda: hit(after)), *args, **kwargs)

    owner.begin = begin


class _HitFirst:
    """The user of an exchange, with a step to die at before it hears the answer."""

    def __init__(self, user: Any, hit: Callable[[], None]) -> None:
        self._user = user
        self._hit = hit
        self.unheard = user.unheard

    def heard(self, head: Any, body: bytes) -> None:
        """Die, or pass on."""
        self._hit()
        self._user.heard(head, body)


def plant(defect: str) -> None:
    """Break a promise on purpose, in this process."""
    from bridge.gateway.dual.last_writes import LastWrites
    from bridge.gateway.dual.read_sides import ReadSides
    from bridge.gateway.dual.replay_attempt import Attempts, Ready, Sent
    from bridge.gateway.dual.replay_verdict import Ending, Verdict
    from bridge.model.write import WriteState
    from bridge.storage.journal.sqlite import SqliteJournal

    send, settle = Attempts.send, SqliteJournal.settle
    sent = 0

    async def forgets(self: Attempts, ready: Ready) -> Sent:
        nonlocal sent
        sent += 1
        if sent % 10 == 0 and ready.route.ids.path:  # A forgotten create would hold its lane.
            return Sent(Verdict(Ending.DONE), answered=True)
        return await send(self, ready)

    async def guesses(
        self: SqliteJournal, intent_id: str, state: WriteState, **more: Any
    ) -> int | None:
        guess = WriteState.FAILED if state is WriteState.IN_DOUBT else state
        return await settle(self, intent_id, guess, **more)

    if defect == "a replay is forgotten":
        Attempts.send = forgets  # type: ignore[method-assign]  # that is the defect
    elif defect == "a canary reads ahead of its replays":
        # Both nets under a reader: the choice, and the second look of reads with ids.
        unpinned = functools.partialmethod(ReadSides.chosen, pinned=False)
        ReadSides.chosen = unpinned  # type: ignore[assignment,method-assign]  # that is the defect
        LastWrites.side = lambda _, decision, *__: decision.authority  # type: ignore[method-assign]  # that is the defect
    elif defect == "doubt is taken for failure":
        SqliteJournal.settle = guesses  # type: ignore[method-assign]  # that is the defect
    else:
        assert not defect, f"no defect is called {defect!r}"


def run_gateway_role(role: str, config: str, armed: str, defect: str) -> None:
    """Run `gateway:N` or `replay` as the command line does, with steps to die at."""
    from bridge.runtime.configuration.settings_file import load_settings
    from bridge.runtime.roles.running import run_role

    if defect:
        plant(defect)
    install(Path(armed), role)
    raise SystemExit(run_role(load_settings(Path(config)), role))
