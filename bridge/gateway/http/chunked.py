"""Decode and encode the chunked coding (RFC 9112 7.1), strictly.

Sizes are hexadecimal digits alone, every line ends in CRLF, extensions are checked and dropped: an
extension that only one end understands is how messages come to mean two things. Trailers are kept
apart; `trailers` says which of them may be passed on.
"""

import re
from typing import Final

from bridge.gateway.http.fields import NOT_A_NAME, kind_of_name
from bridge.gateway.http.framing import MessageRefused

# 13 digits are 2^52 bytes: far over any body, far under what overflows in some back end.
# Nobody uses extensions; a size line that is longer is somebody trying the parser's patience.
_SIZE_LINE_BYTES_MAX: Final = 1024
_TRAILER_BYTES_MAX: Final = 8_192
_EXTRA_BYTES_MAX: Final = 16_384

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,13})((?:;[\t\x20-\x7e]*)?)")
_LINE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

LAST_CHUNK: Final = b"0\r\n\r\n"

_SIZE_STEP, _DATA_STEP, _DATA_END_STEP, _TRAILER_STEP, _DONE_STEP = range(5)


def encode_chunk(data: bytes) -> bytes:
    """Return `data`, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class ChunkedDecoder:
    """Bytes of a chunked body in, its data out."""

    __slots__ = ("_buffer", "_extra_bytes", "_left", "_step", "rest", "trailers")

    def __init__(self) -> None:
        self._step = _SIZE_STEP
        self._buffer = b""
        self._left = 0
        self._extra_bytes = 0
        self.rest = b""
        """What followed the body, once `done`."""
        self.trailers: list[bytes] = []
        """Field lines of the trailer section, checked; bounded together with the extensions."""

    @property
    def done(self) -> bool:
        """Whether the last chunk and the trailer section were read."""
        return self._step == _DONE_STEP

    def feed(self, data: bytes) -> bytes:
        """Return the body data in `data`, together with what was held back before.

        Raises:
            MessageRefused: the coding is broken; nothing after it can be trusted.
        """
        assert self._step != _DONE_STEP, "fed after the end"
        buffer = self._buffer + data if self._buffer else data
        out: list[bytes] = []
        at, size = 0, len(buffer)
        while at < size:
            if self._step == _DATA_STEP:
                end = min(at + self._left, size)
                out.append(buffer[at:end])
                self._left -= end - at
                at = end
                if self._left == 0:
                    self._step = _DATA_END_STEP
            elif self._step == _DATA_END_STEP:
                if size - at < 2 and buffer[at] == 0x0D:
                    break
                if buffer[at : at + 2] != b"\r\n":
                    raise MessageRefused(
                        400, "chunk data longer or shorter than its size", "RFC 9112 7.1"
                    )
                at += 2
                self._step = _SIZE_STEP
            else:
                end = buffer.find(b"\r\n", at)
                if end < 0:
                    self._check_partial(buffer[at:])
                    break
                self._line(buffer[at:end])
                at = end + 2
                if self._step == _DONE_STEP:
                    self.rest = buffer[at:]
                    at = size
        self._buffer = buffer[at:]
        return out[0] if len(out) == 1 else b"".join(out)

    def _check_partial(self, line: bytes) -> None:
        """Refuse a line that is still arriving as soon as it cannot become a good one."""
        text = line.removesuffix(b"\r")
        in_size = self._step == _SIZE_STEP
        if _LINE.fullmatch(text) is None:
            raise _bad_byte()
        if in_size and text and _SIZE.match(text) is None:
            raise _bad_size()
        if len(text) > (_SIZE_LINE_BYTES_MAX if in_size else _TRAILER_BYTES_MAX):
            raise _too_long()

    def _line(self, line: bytes) -> None:
        if self._step == _SIZE_STEP:
            found = _SIZE.fullmatch(line)
            if found is None:
                raise _bad_size()
            self._extra_bytes += len(found[2])
            self._left = int(found[1], 16)
            self._step = _DATA_STEP if self._left else _TRAILER_STEP
        elif not line:
            self._step = _DONE_STEP
        else:
            self._extra_bytes += len(line)
            name, colon, _ = line.partition(b":")
            if not colon or kind_of_name(name) == NOT_A_NAME:
                raise MessageRefused(400, "a trailer that is no field line", "RFC 9112 7.1.2")
            if _LINE.fullmatch(line) is None:
                raise _bad_byte()
            self.trailers.append(line)
        if self._extra_bytes > _EXTRA_BYTES_MAX:
            raise _too_long()


def _bad_byte() -> MessageRefused:
    return MessageRefused(
        400, "a control character or bare LF in the chunked coding", "RFC 9112 7.1"
    )


def _bad_size() -> MessageRefused:
    return MessageRefused(400, "chunk size is not hexadecimal digits", "RFC 9112 7.1")


def _too_long() -> MessageRefused:
    return MessageRefused(400, "chunk extensions or trailers too long", "RFC 9112 7.1.1")
