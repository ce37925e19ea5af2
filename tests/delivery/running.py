"""Run a relay in a thread for the length of a `with`."""

import contextlib
import threading
from collections.abc import Iterator

from bridge.delivery.relay import Relay

_STOP_TIMEOUT_S = 20


class RunningRelay:
    """A relay's thread; what `run` raised is kept for the test."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="relay under test", daemon=True)
        self.error: BaseException | None = None
        self._thread.start()

    def _run(self) -> None:
        try:
            self._relay.run(self._stop)
        except BaseException as error:
            self.error = error

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ask it to stop and wait until it has."""
        self._stop.set()
        self._thread.join(_STOP_TIMEOUT_S)
        assert self.ended, f"the relay did not stop within {_STOP_TIMEOUT_S} s"


@contextlib.contextmanager
def running(relay: Relay) -> Iterator[RunningRelay]:
    """Run `relay` until the block ends; what it raised, unless the test took it, is raised here."""
    run = RunningRelay(relay)
    try:
        yield run
    finally:
        run.stop()
    if run.error is not None:
        raise run.error
