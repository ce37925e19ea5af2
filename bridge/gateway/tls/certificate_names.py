"""Which of several certificates a name asks for: exact names first, then one-label wildcards."""

from collections.abc import Mapping, Sequence
from typing import Final

_LABELS_MIN: Final = 3
"""`*.com` would speak for strangers: what follows the star has at least two labels."""


def normal_name(name: str) -> str | None:
    """Return a DNS name in lower case and in ASCII, without a final dot; None when it is none."""
    text = name.rstrip(".").lower()
    try:
        ascii_name = text.encode("ascii").decode() if text.isascii() else _idna(text)
    except UnicodeError:
        return None
    if not ascii_name or len(ascii_name) > 253:
        return None
    labels = ascii_name.split(".")
    if "*" in ascii_name and (labels[0] != "*" or len(labels) < _LABELS_MIN):
        return None
    plain = labels[1:] if labels[0] == "*" else labels
    if not all(_is_label(label) for label in plain):
        return None
    return ascii_name


def _idna(text: str) -> str:
    return text.encode("idna").decode("ascii")


def _is_label(label: str) -> bool:
    return 0 < len(label) <= 63 and label.replace("-", "a").replace("_", "a").isalnum()


class NameTable:
    """Names of certificates, by index."""

    __slots__ = ("_exact", "_wild")

    def __init__(self, names: Sequence[Sequence[str]]) -> None:
        """`names[i]` are those of certificate `i`, normal; the first that has a name gets it."""
        exact: dict[str, int] = {}
        wild: dict[str, int] = {}
        for index, own in enumerate(names):
            for name in own:
                if name.startswith("*."):
                    wild.setdefault(name[2:], index)
                else:
                    exact.setdefault(name, index)
        self._exact: Mapping[str, int] = exact
        self._wild: Mapping[str, int] = wild

    def find(self, name: str) -> int | None:
        """Return the certificate for a name of any case (RFC 6125 6.4.3), or None."""
        lower = name.lower().rstrip(".")
        found = self._exact.get(lower)
        if found is None:
            _, _, parent = lower.partition(".")
            found = self._wild.get(parent)
        return found
