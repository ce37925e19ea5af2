"""What a person may ask of the log: one immutable query, and its place between two pages. Pure."""

import base64
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any, Final

from bridge.eventlog.history.business_values import FieldCondition, hashed
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid

LIMIT_DEFAULT: Final = 100
# A page of a table that a person looks at; each hit is read from the log and compared again.
LIMIT_MAX: Final = 1_000
# Each condition is a look into every segment; more than this is a report, not a search.
CONDITIONS_MAX: Final = 8
_WORDS_MAX: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class EntityKey:
    """One entity: the subject of its contract and its key as JSON text, as events carry it."""

    subject: str
    key: str

    def number(self) -> int:
        """Return what an index keeps of it."""
        return hashed(f"{self.subject}\n{self.key}")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """All given conditions have to hold; of several values in one, any.

    Raises:
        ConfigInvalid: a limit is exceeded or a range is empty.
    """

    time_from: datetime | None = None
    """`time` (when it happened at the source) at or after this."""
    time_to: datetime | None = None
    """`time` before this."""
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    """The same of `recordedtime` (when it was taken in)."""
    kinds: frozenset[EntryKind] = frozenset()
    subjects: frozenset[str] = frozenset()
    """Contracts by subject."""
    types: frozenset[str] = frozenset()
    """Event types; `*` stands for anything."""
    entity: EntityKey | None = None
    actor: str | None = None
    correlation: str | None = None
    ticket: str | None = None
    fields: tuple[FieldCondition, ...] = ()
    newest_first: bool = True
    limit: int = LIMIT_DEFAULT
    page: str | None = field(default=None, compare=False)
    """The token of the page before."""

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= LIMIT_MAX:
            raise ConfigInvalid(f"cannot search for {self.limit} entries: ask for 1 to {LIMIT_MAX}")
        if len(self.fields) > CONDITIONS_MAX:
            raise ConfigInvalid(
                f"cannot search by {len(self.fields)} conditions: at most {CONDITIONS_MAX}"
            )
        for words in (self.kinds, self.subjects, self.types):
            if len(words) > _WORDS_MAX:
                raise ConfigInvalid(f"cannot search for {len(words)} values: at most {_WORDS_MAX}")
        for moment in (self.time_from, self.time_to, self.recorded_from, self.recorded_to):
            if moment is not None and moment.tzinfo is None:
                raise ConfigInvalid(
                    "cannot search by a time without a zone: end it with Z or an offset"
                )

    def has_type(self, found: str | None) -> bool:
        """Whether an entry of type `found` may fit."""
        if not self.types:
            return True
        return found is not None and any(fnmatchcase(found, pattern) for pattern in self.types)

    def shown(self) -> dict[str, Any]:
        """Return the conditions as JSON values, without what was not asked."""
        told: dict[str, Any] = {
            "time_from": _text(self.time_from),
            "time_to": _text(self.time_to),
            "recorded_from": _text(self.recorded_from),
            "recorded_to": _text(self.recorded_to),
            "kinds": sorted(kind.value for kind in self.kinds),
            "subjects": sorted(self.subjects),
            "types": sorted(self.types),
            "entity": None if self.entity is None else [self.entity.subject, self.entity.key],
            "actor": self.actor,
            "correlation": self.correlation,
            "ticket": self.ticket,
            "fields": [condition.text() for condition in self.fields],
        }
        return {name: value for name, value in told.items() if value not in (None, [])}


def page_token(query: LogQuery, reached: int) -> str:
    """Return the token by which `query` goes on behind the entry with index `reached`."""
    document = json.dumps([reached, _digest(query)]).encode()
    return base64.urlsafe_b64encode(document).decode().rstrip("=")


def page_start(query: LogQuery) -> int | None:
    """Return the index behind which the page of `query` begins; None for the first page.

    Raises:
        ConfigInvalid: the token is none, or belongs to another query.
    """
    if query.page is None:
        return None
    try:
        padded = query.page + "=" * (-len(query.page) % 4)
        reached, digest = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, TypeError) as exc:
        raise ConfigInvalid("cannot go on: the page token is none of ours") from exc
    if digest != _digest(query) or type(reached) is not int:
        raise ConfigInvalid("cannot go on: the page token belongs to another query")
    return reached


def _digest(query: LogQuery) -> str:
    text = json.dumps([query.shown(), query.newest_first])
    return blake2b(text.encode(), digest_size=8).hexdigest()


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def any_of(found: str | None, asked: Collection[str]) -> bool:
    """Whether `found` is among the values that were asked for, or none were."""
    return not asked or found in asked
