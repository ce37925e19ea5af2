"""A replication stream from a logical slot, driven on libpq's COPY BOTH.

psycopg has no replication interface of its own; since 3.3 it opens such connections, and its `pq`
layer gives the frames. One thread drives a stream.
"""

import select
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus

from adapters.postgres.catalog import quoted
from adapters.postgres.server import PostgresServer
from adapters.postgres.sub_transactions import any_undone
from bridge.capture.ports import Received
from bridge.capture.protocol.assembler import TransactionAssembler
from bridge.capture.protocol.pgoutput import PgOutputDecoder
from bridge.capture.protocol.pgoutput_options import OriginFilter, format_options, pgoutput_options
from bridge.capture.protocol.staging import OwnerUnknown, StageStore
from bridge.capture.protocol.walsender import KEEPALIVE, decode_keepalive, encode_status
from bridge.model.change import TransactionPart
from bridge.model.errors import BridgeError, SourceUnavailable, StorageUnavailable
from bridge.model.lsn import format_lsn

# The server gives up on a client that is silent for `wal_sender_timeout`; a third of it leaves
# two more tries. Ten seconds keeps `pg_stat_replication` honest when that is set very long.
STATUS_INTERVAL_S_MAX: Final = 10.0

# A new confirmed position is worth a message, but the server does work for each one.
ACK_INTERVAL_S_MIN: Final = 0.1

# How long a server may say nothing, although asked, before the wire counts as dead. Decoding one
# very large transaction can keep it busy for seconds.
SILENCE_S_MAX_DEFAULT: Final = 30.0

# Ends a batch of wide rows before it fills memory, as `BYTES_MAX_DEFAULT` does for a part.
_BATCH_BYTES_MAX: Final = 8 * 1024 * 1024

_CLOSE_S_MAX: Final = 2.0
_FLUSH_S_MAX: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamForm:
    """In which form transactions are asked for."""

    stages: StageStore | None = None
    """Keeps large transactions that come while they are open, if the server can send them so (from
    14, and it knows no replication origin); without it they come when they have committed, and the
    server keeps them until then."""
    origin: OriginFilter = "any"


ORDINARY_FORM: Final = StreamForm()


class PostgresChangeStream:
    """Implements `ChangeStream` over one replication connection, which it owns."""

    def __init__(
        self,
        server: PostgresServer,
        connection: psycopg.Connection,
        *,
        slot: str,
        publications: tuple[str, ...],
        start_lsn: int,
        silence_s_max: float = SILENCE_S_MAX_DEFAULT,
        form: StreamForm = ORDINARY_FORM,
        refuse_streaming: Callable[[], None] | None = None,
    ) -> None:
        """`refuse_streaming` is called when the next stream must not have open transactions."""
        self._server = server
        self._connection = connection
        self._pgconn = connection.pgconn
        self._decoder = PgOutputDecoder()
        stages = None if _has_origins(connection) else form.stages
        self._assembler = TransactionAssembler(
            stages=stages, any_undone=partial(any_undone, server)
        )
        self._refuse_streaming = refuse_streaming
        self._acknowledged = start_lsn
        self._reported = 0
        # Proof of what the server has sent; nothing above it may ever be acknowledged, because
        # the server believes any value and would throw away what lies below.
        self._received = start_lsn
        self._silence_s_max = silence_s_max
        timeout_s = _read_timeout_s(server, connection)
        self._status_interval_s = min(STATUS_INTERVAL_S_MAX, timeout_s / 3, silence_s_max / 3)
        options = pgoutput_options(
            connection.info.server_version,
            publications,
            streaming=stages is not None,
            origin=form.origin,
        )
        self._start(slot, start_lsn, format_options(options))
        if stages is not None:
            stages.clear()
        self._heard_at = self._status_at = time.monotonic()

    def _start(self, slot: str, start_lsn: int, options: str) -> None:
        encoding = self._connection.execute("show server_encoding").fetchone()
        if encoding == ("SQL_ASCII",):
            # Such a database holds any bytes. Asked for UTF-8, the server would check them and end
            # the stream at the first row that is not, each time again.
            self._connection.execute("set client_encoding to 'SQL_ASCII'")
        command = (
            f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {format_lsn(start_lsn)} ({options})"
        )
        result = self._pgconn.exec_(command.encode())
        if result.status != ExecStatus.COPY_BOTH:
            raise error_from_result(result)

    def receive(self, changes_max: int, timeout_ms: int) -> Received:
        """Return what has arrived, at most about `changes_max` changes of it."""
        deadline = time.monotonic() + timeout_ms / 1000
        parts: list[TransactionPart] = []
        position: int | None = None
        count = size = 0
        get_copy_data = self._pgconn.get_copy_data
        decode, feed = self._decoder.decode, self._assembler.feed
        try:
            part = self._staged_part()
            if part is not None:
                size = _BATCH_BYTES_MAX  # It was not counted; it is at most this.
            while True:
                if part is not None:
                    parts.append(part)
                    self._note_received(part)
                    count += len(part.changes)
                    if self._assembler.is_leaving:
                        size = _BATCH_BYTES_MAX
                        break
                    if count >= changes_max:
                        break
                    part = None
                if size >= _BATCH_BYTES_MAX:
                    break
                length, view = get_copy_data(1)
                if length > 0:
                    frame = bytes(view)
                    if frame[0] == KEEPALIVE:
                        position = self._hear(frame) or position
                        continue
                    part = feed(decode(frame), length)
                    size += length
                elif length == 0:
                    # With something to return, look for more but do not wait for it.
                    something = parts or position is not None
                    if not self._wait(0.0 if something else deadline):
                        break
                else:
                    self._raise_end()
            self._tend()
        except (psycopg.Error, OSError) as exc:
            raise self._broken(exc) from exc
        except OwnerUnknown as exc:
            raise self._unclear(exc) from exc
        if position is None and parts and not self._assembler.in_transaction:
            position = parts[-1].end_lsn
        return Received(parts, position, size)

    def acknowledge(self, end_lsn: int) -> None:
        """Report `end_lsn` as durable with the next status update."""
        assert end_lsn <= self._received, (
            f"acknowledging {format_lsn(end_lsn)}, received only {format_lsn(self._received)}"
        )
        self._acknowledged = max(self._acknowledged, end_lsn)

    def keep_alive(self) -> None:
        """Send a status update when one is due; reads nothing."""
        try:
            # The server is not read meanwhile, so its silence proves nothing.
            self._heard_at = time.monotonic()
            self._tend()
        except (psycopg.Error, OSError) as exc:
            raise self._broken(exc) from exc

    def close(self) -> None:
        """Report the last position, end the copy and close the connection."""
        try:
            if self._connection.closed:
                return
            self._send_status(time.monotonic(), reply_now=False)
            self._pgconn.put_copy_end()
            self._flush(_CLOSE_S_MAX)
            self._drain(time.monotonic() + _CLOSE_S_MAX)
        except (psycopg.Error, OSError, BridgeError):
            pass  # The server frees the slot when it notices that we are gone.
        finally:
            self._connection.close()
            with suppress(StorageUnavailable):  # The next stream clears what is left.
                self._assembler.close()

    def _staged_part(self) -> TransactionPart | None:
        """Return the next part of a streamed transaction that has committed."""
        if not self._assembler.is_leaving:
            return None
        # The server is not read meanwhile, so its silence proves nothing.
        self._heard_at = time.monotonic()
        return self._assembler.next_part()

    def _hear(self, frame: bytes) -> int | None:
        """Take a keepalive; return its position when nothing is half received."""
        keepalive = decode_keepalive(frame)
        if keepalive.reply_now:
            self._send_status(time.monotonic(), reply_now=False)
        if self._assembler.in_transaction:
            return None
        self._received = max(self._received, keepalive.position)
        return keepalive.position

    def _note_received(self, part: TransactionPart) -> None:
        # Commits are sent in order: seeing one proves that everything before it was sent.
        proof = part.commit_lsn if part.end_lsn is None else part.end_lsn
        self._received = max(self._received, proof)

    def _wait(self, deadline: float) -> bool:
        """Read from the socket what is there by `deadline`; return whether there was anything."""
        now = time.monotonic()
        due = self._status_at + (
            ACK_INTERVAL_S_MIN if self._acknowledged > self._reported else self._status_interval_s
        )
        timeout_s = max(min(deadline, due) - now, 0)
        ready = _ready(self._pgconn.socket, select.POLLIN, timeout_s)
        # Even if the socket is silent: TLS may hold bytes that were read from it before.
        self._pgconn.consume_input()
        if ready:
            self._heard_at = time.monotonic()
            return True
        self._tend()
        return time.monotonic() < deadline

    def _tend(self) -> None:
        """Send a status update when one is due, and ask for an answer when it has been quiet."""
        now = time.monotonic()
        since_status, silence = now - self._status_at, now - self._heard_at
        if silence > self._silence_s_max:
            raise SourceUnavailable(
                f"cannot read from source database at {self._server.place}: no answer for "
                f"{silence:.0f} s although asked"
            )
        news = self._acknowledged > self._reported and since_status >= ACK_INTERVAL_S_MIN
        if news or since_status >= self._status_interval_s:
            quiet = silence >= self._silence_s_max / 3
            self._send_status(now, reply_now=quiet)

    def _send_status(self, now: float, *, reply_now: bool) -> None:
        assert self._reported <= self._acknowledged <= self._received, (
            f"acknowledging {format_lsn(self._acknowledged)} after {format_lsn(self._reported)}, "
            f"received {format_lsn(self._received)}"
        )
        status = encode_status(
            self._acknowledged, unix_time_us=time.time_ns() // 1000, reply_now=reply_now
        )
        give_up = now + _FLUSH_S_MAX
        while self._pgconn.put_copy_data(status) == 0:  # The send buffer is full.
            self._flush(max(give_up - time.monotonic(), 0))
        self._flush(_FLUSH_S_MAX)
        self._reported = self._acknowledged
        self._status_at = now

    def _flush(self, timeout_s: float) -> None:
        give_up = time.monotonic() + timeout_s
        while self._pgconn.flush() != 0:
            left = give_up - time.monotonic()
            if left <= 0:
                raise SourceUnavailable(
                    f"cannot write to source database at {self._server.place}: the wire has "
                    f"taken nothing for {timeout_s:.0f} s"
                )
            _ready(self._pgconn.socket, select.POLLOUT, left)

    def _drain(self, deadline: float) -> None:
        """Read to the end of the command: the server has then let go of the slot."""
        copying = True
        while (left := deadline - time.monotonic()) > 0:
            if copying:
                length, _ = self._pgconn.get_copy_data(1)
                copying = length >= 0
                waiting = length == 0
            else:
                waiting = bool(self._pgconn.is_busy())
                if not waiting and self._pgconn.get_result() is None:
                    return
            if waiting and _ready(self._pgconn.socket, select.POLLIN, left):
                self._pgconn.consume_input()

    def _raise_end(self) -> None:
        """Raise what ended the copy: the server stopped it, or the wire broke."""
        result = self._pgconn.get_result()
        if result is not None and result.status == ExecStatus.FATAL_ERROR:
            raise error_from_result(result)
        raise psycopg.OperationalError("the server ended the stream")

    def _unclear(self, why: OwnerUnknown) -> SourceUnavailable:
        if self._refuse_streaming is not None:
            self._refuse_streaming()
        return SourceUnavailable(
            f"cannot go on streaming open transactions from source at {self._server.place}: "
            f"{why}; the source is asked again for committed ones only"
        )

    def _broken(self, error: Exception) -> BridgeError:
        if isinstance(error, psycopg.Error):
            return self._server.translate(error, "stream from")
        return SourceUnavailable(f"cannot stream from source at {self._server.place}: {error}")


def _read_timeout_s(server: PostgresServer, connection: psycopg.Connection) -> float:
    """Return `wal_sender_timeout` in seconds (never: a very long time)."""
    row = connection.execute(
        "select setting::int from pg_settings where name = 'wal_sender_timeout'"
    ).fetchone()
    timeout_ms = row[0] if row else 0
    return timeout_ms / 1000 if timeout_ms else 3600.0


def _has_origins(connection: psycopg.Connection) -> bool:
    """Return whether transactions of this server may come from elsewhere.

    A streamed transaction tells its origin only when its first record is a row: not when it begins
    with a message, a truncate or an ALTER (measured on 15 and 18). The ordinary form always does.
    """
    query = "select exists (select from pg_replication_origin)"
    return connection.execute(query).fetchone() == (True,)


def _ready(socket: int, event: int, timeout_s: float) -> bool:
    poll = select.poll()
    poll.register(socket, event)
    return bool(poll.poll(max(timeout_s, 0) * 1000))
