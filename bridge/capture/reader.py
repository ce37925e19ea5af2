"""The thread that reads a replication stream, so that the source is answered at all times."""

import threading
from typing import Final

from bridge.capture.ports import ChangeStream, Received
from bridge.capture.read_ahead import ReadAhead

# Ends one read; the log commits about twice as many in 20 ms, so larger reads win nothing.
READ_CHANGES_MAX_DEFAULT: Final = 1_000

# A few full reads ahead keep the log busy while the source is read; each may hold 8 MB of rows.
READS_AHEAD_MAX_DEFAULT: Final = 4
_READ_BYTES_MAX: Final = 8 * 1024 * 1024

# How late a stop, or a new durable position, is noticed on a silent stream.
_RECEIVE_TIMEOUT_MS: Final = 100

# While the log is behind: how often the source's need for an answer is looked at.
_FULL_TIMEOUT_S: Final = 0.2


class StreamReader:
    """Reads `stream` into a bounded queue until stopped; owns the stream."""

    def __init__(
        self,
        stream: ChangeStream,
        *,
        read_changes_max: int = READ_CHANGES_MAX_DEFAULT,
        reads_ahead_max: int = READS_AHEAD_MAX_DEFAULT,
    ) -> None:
        self._stream = stream
        self._read_changes_max = read_changes_max
        self._ahead = ReadAhead(
            changes_max=reads_ahead_max * read_changes_max,
            bytes_max=reads_ahead_max * _READ_BYTES_MAX,
        )
        self._durable = 0
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="capture-reader", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Received | None:
        """Return the next read, or None when none came in time.

        Raises what ended the stream, once everything read before it was taken.
        """
        received = self._ahead.take(timeout_s)
        if received is None:
            self.check()
        return received

    def take_waiting(self) -> Received | None:
        """Return the next read if it is already there."""
        return self._ahead.take(0)

    def check(self) -> None:
        """Raise what ended the stream, if it has ended and everything read was taken."""
        if self._failure is not None and self._ahead.is_empty:
            raise self._failure

    def confirm(self, end_lsn: int) -> None:
        """Have everything up to `end_lsn` acknowledged: it is durable in the log."""
        assert end_lsn >= self._durable, "a durable position never goes back"
        self._durable = end_lsn

    def close(self) -> None:
        """Acknowledge what was confirmed, end the stream, and wait for the thread."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        stream = self._stream
        try:
            while not self._ending.is_set():
                self._acknowledge()
                received = stream.receive(self._read_changes_max, _RECEIVE_TIMEOUT_MS)
                if received.parts or received.position is not None:
                    self._hand_over(received)
            self._acknowledge()
        except BaseException as exc:  # Whatever it is, the taker must hear of it.
            self._failure = exc
        finally:
            stream.close()

    def _acknowledge(self) -> None:
        if self._durable:
            self._stream.acknowledge(self._durable)

    def _hand_over(self, received: Received) -> None:
        while not self._ending.is_set():
            if self._ahead.put(received, _FULL_TIMEOUT_S):
                return
            self._acknowledge()
            self._stream.keep_alive()
