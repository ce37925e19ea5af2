"""Search and history of the log over HTTP; each read is recorded before it is answered."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query

from bridge.control.auth import Principal, principal_of
from bridge.eventlog.history.asked import (
    conditions,
    entity_asked,
    is_newest_first,
    kinds_named,
)
from bridge.eventlog.history.desk import SearchDesk
from bridge.eventlog.history.entity_reader import STEPS_DEFAULT
from bridge.eventlog.history.query import LIMIT_DEFAULT, LogQuery
from bridge.eventlog.history.shown import as_of_json, history_json, page_json
from bridge.eventlog.records.access_book import AccessBook

Who = Annotated[Principal, Depends(principal_of)]
Words = Annotated[tuple[str, ...], Query(max_length=20)]


def asked_query(
    time_from: datetime | None = None,
    time_to: datetime | None = None,
    recorded_from: datetime | None = None,
    recorded_to: datetime | None = None,
    kind: Words = (),
    subject: Words = (),
    types: Annotated[tuple[str, ...], Query(max_length=20, alias="type")] = (),
    actor: str | None = None,
    correlation: str | None = None,
    ticket: str | None = None,
    where: Words = (),
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
        types=frozenset(types),
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
