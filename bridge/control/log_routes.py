"""Search and history of the log over HTTP; each read is recorded before it is answered."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from bridge.control.auth import Principal, principal_of
from bridge.eventlog.history.business_values import FieldCondition, between, parse_condition
from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.entity_reader import STEPS_DEFAULT
from bridge.eventlog.history.query import LIMIT_DEFAULT, EntityKey, LogQuery
from bridge.eventlog.history.shown import as_of_json, history_json, page_json
from bridge.eventlog.records.access_book import AccessBook
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.search_role import Role

Who = Annotated[Principal, Depends(principal_of)]
Words = Annotated[list[str], Query(max_length=20)]


def asked_query(
    time_from: datetime | None = None,
    time_to: datetime | None = None,
    recorded_from: datetime | None = None,
    recorded_to: datetime | None = None,
    kind: Words = [],  # noqa: B006 - FastAPI copies it.
    subject: Words = [],  # noqa: B006 - As above.
    type: Words = [],  # noqa: A002, B006 - The parameter's name in the URL.
    actor: str | None = None,
    correlation: str | None = None,
    ticket: str | None = None,
    where: Words = [],  # noqa: B006 - As above.
    date: str | None = None,
    amount: str | None = None,
    counterparty: str | None = None,
    order: str = "newest",
    limit: int = LIMIT_DEFAULT,
    page: str | None = None,
) -> LogQuery:
    """Return what a URL asks for, but for one entity."""
    return LogQuery(
        time_from=time_from,
        time_to=time_to,
        recorded_from=recorded_from,
        recorded_to=recorded_to,
        kinds=kinds_named(kind),
        subjects=frozenset(subject),
        types=frozenset(type),
        actor=actor,
        correlation=correlation,
        ticket=ticket,
        fields=conditions(where, date=date, amount=amount, counterparty=counterparty),
        newest_first=is_newest_first(order),
        limit=limit,
        page=page,
    )


def search_routes(desk: SearchDesk, book: AccessBook) -> APIRouter:
    """Return the routes that search the log and tell histories."""
    router = APIRouter(prefix="/api/log")

    @router.get("/search")
    def search(
        who: Who, query: Annotated[LogQuery, Depends(asked_query)], key: str | None = None
    ) -> dict[str, Any]:
        """Return a page of entries, newest first unless `order=oldest`."""
        query = replace(query, entity=entity_asked(desk, query.subjects, key))
        found = desk.search(query)
        book.read(who.actor, "search", found=len(found.hits), query=desk.recorded(query))
        return page_json(found)

    @router.get("/index")
    def index() -> dict[str, Any]:
        """Return how far the index is."""
        found = desk.status()
        return {
            "indexed": found.indexed,
            "log_size": found.log_size,
            "behind": found.behind,
            "bytes": found.bytes,
        }

    @router.get("/entities/{subject}/{key:path}/history")
    def history(subject: str, key: str, who: Who, limit: int = STEPS_DEFAULT) -> dict[str, Any]:
        """Return everything that the log tells of one entity, oldest first."""
        entity = desk.entity(subject, key)
        found = desk.history(entity, steps_max=limit)
        query = {"entity": desk.pseudonym(entity), "subject": subject}
        book.read(who.actor, "history", found=len(found.steps), query=query)
        return history_json(found)

    @router.get("/entities/{subject}/{key:path}/as-of")
    def as_of(
        subject: str,
        key: str,
        who: Who,
        time: datetime | None = None,
        recorded: datetime | None = None,
    ) -> dict[str, Any]:
        """Return the state of one entity as of a time, or as it was known at one."""
        entity = desk.entity(subject, key)
        found = desk.as_of(entity, time=time, recorded=recorded)
        query = {
            "entity": desk.pseudonym(entity),
            "subject": subject,
            "time": time and time.isoformat(),
            "recorded": recorded and recorded.isoformat(),
        }
        book.read(who.actor, "as-of", found=int(found.step is not None), query=query)
        return as_of_json(found)

    return router


def kinds_named(names: list[str]) -> frozenset[EntryKind]:
    """Return the kinds of entries called so; raises `ConfigInvalid` naming the known ones."""
    known = {kind.value: kind for kind in EntryKind}
    for name in names:
        if name not in known:
            raise ConfigInvalid(
                f"no kind of entry is called {name!r}; known: {', '.join(sorted(known))}"
            )
    return frozenset(known[name] for name in names)


def conditions(
    where: list[str], *, date: str | None, amount: str | None, counterparty: str | None
) -> tuple[FieldCondition, ...]:
    """Return conditions on business fields, by name and by role."""
    found = [parse_condition(text) for text in where]
    for role, text in ((Role.DATE, date), (Role.AMOUNT, amount)):
        if text is not None:
            found.append(between(role.value, text))
    if counterparty is not None:
        # As it is: a name may have dots in it.
        name = FieldCondition(field=Role.COUNTERPARTY.value, low=counterparty, high=counterparty)
        found.append(name)
    return tuple(found)


def entity_asked(desk: SearchDesk, subjects: Collection[str], key: str | None) -> EntityKey | None:
    """Return the entity that a search names; raises `ConfigInvalid` without its one subject."""
    if key is None:
        return None
    if len(subjects) != 1:
        raise ConfigInvalid("cannot search by a key: name the one subject whose key it is")
    (subject,) = subjects
    return desk.entity(subject, key)


def is_newest_first(order: str) -> bool:
    """Return whether `order` is `newest`; raises `ConfigInvalid` unless it is that or `oldest`."""
    if order not in ("newest", "oldest"):
        raise ConfigInvalid(f"no order is called {order!r}; known: newest, oldest")
    return order == "newest"
