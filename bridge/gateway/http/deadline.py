"""How much time is left for a request, as one hop tells the next: `X-Request-Deadline-Ms`.

A number of milliseconds, not a time of day: two machines' clocks differ, and the time on the wire
is short. A back end may stop working on what nobody waits for any more.
"""

import re
from typing import Final

NAME: Final = b"X-Request-Deadline-Ms"

# 24 hours: no request is waited for longer.
_VALUE: Final = re.compile(rb"[0-9]{1,8}")


def deadline_line(left_s: float) -> bytes:
    """Return the field line, with its CRLF."""
    return b"%b: %d\r\n" % (NAME, max(0, round(left_s * 1000)))


def parse_deadline_ms(value: bytes) -> int | None:
    """Return the milliseconds that are left, or None when the value is no number of them."""
    return int(value) if _VALUE.fullmatch(value) else None
