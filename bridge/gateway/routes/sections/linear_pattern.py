"""Regular expressions of rules, by an engine whose time grows with the text alone.

Python's own engine tries every way in which a pattern may fit: `(a|a)+b` takes seconds on a text of
26 letters, and nothing else runs meanwhile. RE2 (https://github.com/google/re2/wiki/Syntax) follows
all ways at once, and knows neither back references nor looks ahead or behind.
"""

from functools import lru_cache
from typing import Protocol, cast

import re2


class LinearPattern(Protocol):
    """A compiled pattern."""

    def fullmatch(self, text: str) -> object | None:
        """Return a match of the whole text; None when it does not fit."""

    def sub(self, replacement: str, text: str) -> str:
        r"""Return the text with all matches replaced, in which `\1` is the first group."""


# A route file has a hundred places for patterns, and most use the same few.
@lru_cache(maxsize=1_000)
def linear_pattern(pattern: str) -> LinearPattern:
    """Compile a pattern.

    Raises:
        ValueError: it is none, or needs what RE2 leaves out.
    """
    options = re2.Options()
    options.log_errors = False
    try:
        return cast(LinearPattern, re2.compile(pattern, options))
    except re2.error as exc:
        why = exc.args[0].decode("utf-8", "replace") if exc.args else "unknown"
        raise ValueError(
            f"{pattern!r} is no regular expression of RE2 ({why}); it has no back references, no"
            " looks ahead or behind, no possessive quantifiers and at most 1,000 repetitions"
        ) from exc
