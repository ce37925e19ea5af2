"""Moments as people type them at the shell."""

from datetime import UTC, datetime

from bridge.model.errors import ConfigInvalid


def moment(text: str | None) -> datetime | None:
    """Return the moment that `text` says (RFC 3339, or a date: its first moment); UTC without zone.

    Raises:
        ConfigInvalid: it is none.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError as exc:
        raise ConfigInvalid(
            f"cannot read the time {text!r}: expected 2026-01-31, 2026-01-31T09:30:00Z or with an "
            "offset such as +09:00"
        ) from exc
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
