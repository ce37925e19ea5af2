"""One content coding taken off, within a bound on what comes out.

gzip: RFC 1952; deflate: RFC 1950, and RFC 1951 alone, as many servers send it; br: RFC 7932; zstd:
RFC 8878, with the window that RFC 9659 allows to HTTP. A coding that is cut short or broken, or
that is followed by anything else, is no content.
"""

import zlib
from collections.abc import Callable, Mapping
from typing import Final

import brotli
import zstandard

# Any of these codings makes a thousandfold and more of zeros: what a real answer of text grows by
# is 10 to 30. It bounds the work for answers that lie far below the byte bound.
_GROWTH_MAX: Final = 200
_GROWTH_FREE_BYTES: Final = 64 * 1024
# RFC 9659 section 3: no larger window in HTTP.
_ZSTD_WINDOW_BYTES_MAX: Final = 8 * 1024 * 1024
# Parts of one body (RFC 1952 section 2.2, RFC 8878 section 3). Tools that pack in parallel make
# one of 64 kB and more; each costs a copy of what follows it.
_PARTS_COUNT_MAX: Final = 256


class _BrokenError(Exception):
    """The bytes are not what the coding says."""


def decoded(body: bytes, coding: str, bytes_max: int) -> bytes | str:
    """Return `body` without `coding` (in lower case), or why it cannot be had.

    At most `bytes_max` bytes come out, and no more than a body of its size may grow to. Memory is
    held for that much, for twice the body, and for the coding's window of up to 16 MB.
    """
    readers = _READERS.get(coding)
    if readers is None:
        return f"content coding {coding[:20]!r} is not known"
    most = min(bytes_max, _GROWTH_FREE_BYTES + len(body) * _GROWTH_MAX)
    for read in readers:
        try:
            found = read(body, most)
        except (_BrokenError, zlib.error, brotli.error, zstandard.ZstdError):
            continue
        return f"decodes to more than {most} bytes" if found is None else found
    return f"content coding {coding!r} is broken"


def _gzip(body: bytes, most: int) -> bytes | None:
    return _inflated(body, zlib.MAX_WBITS | 16, most)


def _deflate(body: bytes, most: int) -> bytes | None:
    return _inflated(body, zlib.MAX_WBITS, most)


def _raw_deflate(body: bytes, most: int) -> bytes | None:
    return _inflated(body, -zlib.MAX_WBITS, most)


def _inflated(body: bytes, window: int, most: int) -> bytes | None:
    parts: list[bytes] = []
    left = most
    rest = body
    while rest:
        if len(parts) >= _PARTS_COUNT_MAX:
            raise _BrokenError
        machine = zlib.decompressobj(window)
        part = machine.decompress(rest, left + 1)
        if len(part) > left:
            return None
        if not machine.eof:
            raise _BrokenError
        parts.append(part)
        left -= len(part)
        rest = machine.unused_data
        if window <= zlib.MAX_WBITS:
            break
    return b"".join(parts)


def _brotli(body: bytes, most: int) -> bytes | None:
    machine = brotli.Decompressor()
    # The limit is where the buffer stops to grow, not where it ends: it is a block too large.
    part: bytes = machine.process(body, output_buffer_limit=most + 1)
    if len(part) > most:
        return None
    # A stream that fills the buffer to the byte says only when it is asked again that it is whole.
    while not machine.is_finished():
        more: bytes = machine.process(b"", output_buffer_limit=most + 1 - len(part))
        part += more
        if len(part) > most:
            return None
        if not more and machine.can_accept_more_data():
            raise _BrokenError
    return part


def _zstd(body: bytes, most: int) -> bytes | None:
    machine = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
    plain: bytes = machine.stream_reader(body, read_across_frames=True).read(most + 1)
    if len(plain) > most:
        return None
    # The reader takes a cut stream for its end. Its whole size is known now: frame by frame, this
    # time without a bound.
    rest = body
    for _ in range(_PARTS_COUNT_MAX):
        frame = machine.decompressobj()
        frame.decompress(rest)
        if not frame.eof:
            raise _BrokenError
        rest = frame.unused_data
        if not rest:
            return plain
    raise _BrokenError


_READERS: Final[Mapping[str, tuple[Callable[[bytes, int], bytes | None], ...]]] = {
    "gzip": (_gzip,),
    "x-gzip": (_gzip,),
    "deflate": (_deflate, _raw_deflate),
    "br": (_brotli,),
    "zstd": (_zstd,),
}
"""Coding → readers that are tried in turn; each returns None for more than it may."""
