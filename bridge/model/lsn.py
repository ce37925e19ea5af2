"""PostgreSQL log sequence numbers: 64-bit byte positions in the write-ahead log.

Text form as PostgreSQL prints it (`pg_lsn`): two hexadecimal halves, `16/B374D848`.
"""

from typing import NewType

Lsn = NewType("Lsn", int)

LSN_MAX = 2**64 - 1


def format_lsn(lsn: int) -> str:
    """Return `lsn` in PostgreSQL's text form."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def parse_lsn(text: str) -> Lsn:
    """Return the LSN that `text` names; raises `ValueError` when it is not one."""
    high, slash, low = text.partition("/")
    if not slash or not 1 <= len(high) <= 8 or not 1 <= len(low) <= 8:
        raise ValueError(f"cannot read {text!r} as an LSN: expected the form '16/B374D848'")
    return Lsn((int(high, 16) << 32) | int(low, 16))
