"""Which regular expressions are fast on whatever text they meet.

Python's engine tries every way in which a pattern may fit: nested repetitions have exponentially
many, and the interpreter stands still meanwhile (CWE-1333). The check is on the safe side: it knows
no character sets, so that it also refuses some patterns that would be fast.
"""

import re
from typing import Final

# Each may double the ways, so together they may not be many; a time stamp needs five.
_VARIABLE_COUNT_MAX: Final = 10
_QUANTIFIER: Final = re.compile(r"(?:([*+?])|\{(\d*)(,?)(\d*)\})([+?]?)")
_CLASS: Final = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_OPENING: Final = re.compile(r"\((?:\?(?:P<\w+>|[aiLmsux-]*:|<?[=!]|>))?")
_HOW: Final = (
    "say it without, or make the inner part possessive (`a++`, `(?>…)`), which is never tried again"
)


class _Group:
    __slots__ = ("ambiguous", "atomic")

    def __init__(self, *, atomic: bool) -> None:
        self.atomic = atomic
        self.ambiguous = ""
        """What in it may fit in several ways."""


def refuse_slow(pattern: str) -> None:
    """Look through a pattern that compiles.

    Raises:
        ValueError: it may take exponentially long on some text, or has a construct that cannot be
            told from those that do.
    """
    stack = [_Group(atomic=False)]
    variable_count = at = 0
    while at < len(pattern):
        inner: _Group | None = None
        found = _CLASS.match(pattern, at) if pattern[at] == "[" else None
        if found is not None:
            at = found.end()
        elif pattern[at] == "\\":
            if pattern[at + 1 : at + 2] in "123456789":
                raise ValueError(f"{pattern!r} has a back reference: it cannot be fast on any text")
            at += 2
        elif pattern[at] == "(":
            opening = _OPENING.match(pattern, at)
            assert opening is not None, "it begins with a parenthesis"
            at = opening.end()
            if pattern[at : at + 1] == "?" or "x" in opening[0].partition("<")[0]:
                raise ValueError(
                    f"{pattern!r} has {pattern[at - 1 : at + 2]!r}: comments, conditions, back"
                    " references and flags for all of it are not taken here"
                )
            stack.append(_Group(atomic=opening[0] == "(?>"))
            continue
        elif pattern[at] == "|":
            stack[-1].ambiguous = stack[-1].ambiguous or "an alternative ('|')"
            at += 1
            continue
        elif pattern[at] == ")":
            inner = stack.pop()
            at += 1
        else:
            at += 1
        times = _QUANTIFIER.match(pattern, at)
        possessive = False
        if times is not None:
            at = times.end()
            least, most = _bounds(times)
            possessive = times[5] == "+"
            tried_again = inner is not None and inner.ambiguous and not inner.atomic
            if inner is not None and tried_again and most > 1 and not possessive:
                raise ValueError(
                    f"{pattern!r} repeats a group by {times[0]!r} that has {inner.ambiguous}"
                    f" inside: on some texts that takes for ever; {_HOW}"
                )
            if least != most and not possessive:
                variable_count += 1
                stack[-1].ambiguous = stack[-1].ambiguous or f"a quantifier ({times[0]!r})"
        if inner is not None and inner.ambiguous and not (possessive or inner.atomic):
            stack[-1].ambiguous = stack[-1].ambiguous or inner.ambiguous
    if variable_count > _VARIABLE_COUNT_MAX:
        raise ValueError(
            f"{pattern!r} has {variable_count} quantifiers that may stop at several places, the"
            f" limit is {_VARIABLE_COUNT_MAX}: make some possessive (`a*+`, `a?+`)"
        )


def _bounds(times: re.Match[str]) -> tuple[float, float]:
    if times[1]:
        return {"*": (0, float("inf")), "+": (1, float("inf")), "?": (0, 1)}[times[1]]
    least = float(times[2] or 0)
    if not times[3]:
        return least, least
    return least, float(times[4]) if times[4] else float("inf")
