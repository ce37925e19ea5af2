"""The FastAPI application: paths, idempotency, errors."""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DataError, SQLAlchemyError

from bridge.demo.modern.reading import Refused, shown, shown_orders, shown_payments
from bridge.demo.modern.shapes import NewOrder, NewPayment, NewStatus, NewTerms
from bridge.demo.modern.writing import Answer, book_payment, place_order, set_status, set_terms

Key = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]

# Take a key. Whoever holds it in an open transaction is waited for.
CLAIM: Final = text(
    """
INSERT INTO idempotency (key, fingerprint) VALUES (:key, :fingerprint)
    ON CONFLICT (key) DO NOTHING RETURNING key"""
)

# What was answered under a key.
ANSWERED: Final = text("SELECT fingerprint, status, body FROM idempotency WHERE key = :key")

# Keep the answer, in the transaction of the work itself.
KEEP: Final = text("UPDATE idempotency SET status = :status, body = :body WHERE key = :key")


def create_application(engine: Engine) -> FastAPI:
    """Return the service over `engine`, whose schema is there."""
    application = FastAPI(title="Modern orders", openapi_url=None)
    _add_errors(application)
    _add_reads(application, engine)
    _add_writes(application, engine)
    return application


def _add_errors(application: FastAPI) -> None:
    @application.exception_handler(Refused)
    def refused(request: Request, exc: Refused) -> Response:
        return _json(exc.status, {"error": str(exc)})

    @application.exception_handler(RequestValidationError)
    def invalid(request: Request, exc: RequestValidationError) -> Response:
        # Places and rules; the framework's own answer would repeat the values.
        said = [f"{'.'.join(map(str, one['loc']))}: {one['type']}" for one in exc.errors()]
        return _json(422, {"error": "; ".join(said)})

    @application.exception_handler(SQLAlchemyError)
    def failed(request: Request, exc: SQLAlchemyError) -> Response:
        if isinstance(exc, DataError):  # A NUL in a text, for example.
            return _json(422, {"error": "the database cannot hold a value of the request"})
        # The commit's own answer may be what was lost, so this promises nothing.
        return _json(500, {"error": "the database did not answer"})


def _add_reads(application: FastAPI, engine: Engine) -> None:
    @application.get("/health")
    def health() -> Response:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return _json(200, {"status": "ok"})

    @application.get("/orders")
    def orders(customer: Annotated[int, Query(ge=0, le=999_999_999)]) -> Response:
        with engine.connect() as connection:
            return _json(200, shown_orders(connection, customer))

    @application.get("/orders/{order_id}")
    def order(order_id: str) -> Response:
        with engine.connect() as connection:
            return _json(200, shown(connection, order_id))

    @application.get("/orders/{order_id}/payments")
    def payments(order_id: str) -> Response:
        with engine.connect() as connection:
            return _json(200, shown_payments(connection, order_id))


def _add_writes(application: FastAPI, engine: Engine) -> None:
    @application.post("/orders")
    def place(body: NewOrder, request: Request, key: Key = None) -> Response:
        return _once(engine, key, request, body, lambda c: place_order(c, body))

    @application.put("/orders/{order_id}/status")
    def status(order_id: str, body: NewStatus, request: Request, key: Key = None) -> Response:
        return _once(engine, key, request, body, lambda c: set_status(c, order_id, body))

    @application.put("/orders/{order_id}/lines/{line_no}")
    def line(
        order_id: str, line_no: int, body: NewTerms, request: Request, key: Key = None
    ) -> Response:
        return _once(engine, key, request, body, lambda c: set_terms(c, order_id, line_no, body))

    @application.post("/orders/{order_id}/payments")
    def pay(order_id: str, body: NewPayment, request: Request, key: Key = None) -> Response:
        return _once(engine, key, request, body, lambda c: book_payment(c, order_id, body))


def _once(
    engine: Engine,
    key: str | None,
    request: Request,
    body: BaseModel,
    work: Callable[[Connection], Answer],
) -> Response:
    """Run `work` in a transaction; under a key that was answered before, answer that again.

    Only successes are kept: a refusal wrote nothing, and may turn into success later.
    """
    with engine.begin() as connection:
        if key is None:
            return _json(*work(connection))
        said = f"{request.method} {request.url.path}\n{body.model_dump_json()}"
        fingerprint = hashlib.sha256(said.encode()).hexdigest()
        claim = {"key": key, "fingerprint": fingerprint}
        if connection.execute(CLAIM, claim).scalar() is None:
            known = connection.execute(ANSWERED, claim).mappings().one()
            if known["fingerprint"] != fingerprint:
                raise Refused(422, "this idempotency key was used for another request")
            return _bytes(known["status"], bytes(known["body"]))
        answer = work(connection)
        response = _json(*answer)
        connection.execute(KEEP, {"key": key, "status": answer.status, "body": response.body})
    return response


def _json(status: int, body: Any) -> Response:
    return _bytes(status, json.dumps(body, ensure_ascii=False).encode())


def _bytes(status: int, body: bytes) -> Response:
    return Response(body, status, media_type="application/json")
