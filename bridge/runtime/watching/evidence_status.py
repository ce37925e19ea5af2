"""What the log role noted last about witnesses and time-stamp authorities."""

from collections.abc import Iterable, Mapping
from typing import Any

# What is told of one that the log role has said nothing about: it does not run, or has just begun.
_UNKNOWN_LEVEL = 0


def evidence_status(
    kind: str, names: Iterable[str], noted: Mapping[str, float | str]
) -> list[dict[str, Any]]:
    """Return a row for each configured name.

    Args:
        kind: `witness` or `timestamp`, as the notes begin.
        names: what the settings have.
        noted: the latest facts of the log role, empty while it is down.
    """

    def fact(name: str, what: str) -> float | str | None:
        return noted.get(f"{kind}.{name}.{what}")

    return [
        {
            "name": name,
            "standing": fact(name, "standing") or "unknown",
            "level": fact(name, "level") or _UNKNOWN_LEVEL,
            "size": fact(name, "size"),
            "lag_entries": fact(name, "lag_entries"),
            "lag_s": fact(name, "lag_s"),
            "age_s": fact(name, "age_s"),
        }
        for name in sorted(names)
    ]
