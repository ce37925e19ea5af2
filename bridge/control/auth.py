"""Who may use the API: holders of tokens, each as far as its role reaches."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from fastapi import Header, HTTPException, Request

from bridge.eventlog.records.access import AccessNotRecorded
from bridge.eventlog.records.access_book import AccessBook
from bridge.model.warrant import UNKNOWN, Actor, ActorType, Known, Warrant


class Role(Enum):
    """What the holder of a named token may do; set by `control.tokens`."""

    OPERATOR = "operator"  # Reads, and acts on groups, lanes, ids and writes.
    AUDITOR = "auditor"  # Reads, searches, exports and verifies; changes nothing.


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedToken:
    """A token that belongs to one holder alone."""

    token: str = field(repr=False)
    role: Role
    type: ActorType = ActorType.PERSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who sent a request."""

    actor: Actor
    """UNKNOWN for the holder of the shared token, who may say in each request who it is."""
    role: Role | None
    """None: the shared token, or none where the API needs none; everything is allowed."""

    def warrant(self, declared: str | None, reason: str, ticket: str) -> Warrant:
        """Return on whose word a body's action is done.

        The name of a token stands for its holder, whatever the body says; that is kept beside it.
        """
        if self.role is not None:
            actor = Actor(
                id=self.actor.id, type=self.actor.type, known=Known.TOKEN, declared=declared
            )
        elif declared is not None:
            actor = Actor(id=declared, type=ActorType.PERSON, known=Known.DECLARED)
        elif self.actor.known is Known.DECLARED:
            actor = self.actor
        else:
            raise HTTPException(
                422,
                "cannot take the request: body.actor: field required (a named token would say who "
                "acts)",
            )
        return Warrant(actor=actor, reason=reason, ticket=ticket)


def principal_of(request: Request) -> Principal:
    """Return who sends the request, for an endpoint behind a `Door`."""
    principal = request.state.principal
    assert isinstance(principal, Principal), "the door stands before every endpoint"
    return principal


_READS: Final = frozenset({"GET", "HEAD"})

# What auditors do that is no GET (a search, an export) is served below this path; who operates the
# gateway does not do the auditor's part.
_AUDITORS_PATH: Final = "/api/log/"


class Door:
    """A dependency that finds out who sends a request, and refuses who may not."""

    def __init__(
        self, token: str | None, tokens: Mapping[str, NamedToken], book: AccessBook
    ) -> None:
        self._token = token
        self._tokens = dict(tokens)
        self._book = book

    def __call__(
        self,
        request: Request,
        authorization: str | None = Header(default=None),
        legacy_bridge_actor: str | None = Header(default=None, max_length=200),
    ) -> None:
        """Keep who sends the request; 401 for a wrong token, 403 where the role ends."""
        principal = self._principal(authorization, legacy_bridge_actor)
        if not may(principal.role, request.method, request.url.path):
            route = request.scope.get("route")
            what = f"{request.method} {getattr(route, 'path', '')}".strip()
            self._book.refused(principal.actor, what, "RoleForbids")
            raise HTTPException(
                403,
                f"cannot do this: {principal.actor.id!r} has the role "
                f"{principal.role and principal.role.value}, which does not reach that far",
            )
        request.state.principal = principal

    def _principal(self, authorization: str | None, declared: str | None) -> Principal:
        said = UNKNOWN
        if declared is not None and declared.strip():
            said = Actor(id=declared.strip(), type=ActorType.PERSON, known=Known.DECLARED)
        if self._token is None and not self._tokens:
            return Principal(actor=said, role=None)
        scheme, _, given = (authorization or "").partition(" ")
        shown = given.strip().encode() if scheme.lower() == "bearer" else b""
        # All are compared: how long it takes tells nothing about which one was nearly right.
        found = [
            name
            for name, known in self._tokens.items()
            if hmac.compare_digest(shown, known.token.encode())
        ]
        shared = self._token is not None and hmac.compare_digest(shown, self._token.encode())
        if found:
            holder = self._tokens[found[0]]
            actor = Actor(id=found[0], type=holder.type, known=Known.TOKEN)
            return Principal(actor=actor, role=holder.role)
        if shared:
            return Principal(actor=said, role=None)
        self._refuse()
        raise AssertionError("a wrong token is refused")

    def _refuse(self) -> None:
        refusal = HTTPException(
            401,
            "cannot answer: bearer token is missing or wrong",
            {"WWW-Authenticate": "Bearer"},
        )
        try:
            self._book.login_failed()
        except AccessNotRecorded as exc:
            raise refusal from exc  # Whoever it is learns nothing about our stores.
        raise refusal


def may(role: Role | None, method: str, path: str) -> bool:
    """Return whether the holder of a token with `role` may send such a request."""
    if role is None or method in _READS:
        return True
    return path.startswith(_AUDITORS_PATH) == (role is Role.AUDITOR)
