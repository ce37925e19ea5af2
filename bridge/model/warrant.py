"""Who acts, how that is known, and why: what every human action carries into the event log."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from bridge.model.errors import ConfigInvalid

# A reason is a sentence or two and a ticket a short name; both are kept for ever.
REASON_CHARACTERS_MAX: Final = 1_000
TICKET_CHARACTERS_MAX: Final = 100
ACTOR_CHARACTERS_MAX: Final = 200


class ActorType(Enum):
    """What kind of actor it is."""

    PERSON = "person"
    SERVICE = "service"  # A program of the deployment, such as a scheduler that calls the API.
    GATEWAY = "gateway"  # We ourselves: no person decided.


class Known(Enum):
    """How the actor is known, from the strongest to the weakest."""

    TOKEN = "token"  # noqa: S105 - A credential that belongs to this actor alone was shown.
    LOGIN = "login"  # The operating system's login name on this machine.
    DECLARED = "declared"  # It was said, and nobody checked it.
    SELF = "self"  # We ourselves.
    UNKNOWN = "unknown"  # Nobody said who it was; that it is not known is a fact of its own.


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who acts."""

    id: str
    type: ActorType
    known: Known
    declared: str | None = None
    """Who a service or a person behind a token said it acts for; nobody checked it."""

    def __post_init__(self) -> None:
        if not self.id.strip() or len(self.id) > ACTOR_CHARACTERS_MAX:
            raise ConfigInvalid(
                f"cannot act for an actor of {len(self.id)} characters: name one with 1 to "
                f"{ACTOR_CHARACTERS_MAX}"
            )

    def as_json(self) -> dict[str, str]:
        """Return what leaves say of the actor."""
        if self.known is Known.UNKNOWN:
            return {"known": self.known.value}
        told = {"id": self.id, "known": self.known.value, "type": self.type.value}
        return told if self.declared is None else {**told, "declared": self.declared}

    @classmethod
    def from_json(cls, tree: Mapping[str, str]) -> "Actor":
        """Return the actor that `as_json` wrote."""
        if tree["known"] == Known.UNKNOWN.value:
            return UNKNOWN
        return cls(
            id=tree["id"],
            type=ActorType(tree["type"]),
            known=Known(tree["known"]),
            declared=tree.get("declared"),
        )


GATEWAY: Final = Actor(id="gateway", type=ActorType.GATEWAY, known=Known.SELF)
"""The actor of what no person decided."""

UNKNOWN: Final = Actor(id="unknown", type=ActorType.PERSON, known=Known.UNKNOWN)
"""Somebody of whom nothing is known: a fact that is recorded, not a blank."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warrant:
    """On whose word and for what reason something is done; there is no human action without.

    Raises:
        ConfigInvalid: reason or ticket is blank or too long.
    """

    actor: Actor
    reason: str
    ticket: str
    """Where the decision can be looked up: a ticket, a change number, a court's file."""

    def __post_init__(self) -> None:
        for name, text, most in (
            ("reason", self.reason, REASON_CHARACTERS_MAX),
            ("ticket", self.ticket, TICKET_CHARACTERS_MAX),
        ):
            if not text.strip() or len(text) > most:
                raise ConfigInvalid(
                    f"cannot do this with a {name} of {len(text.strip())} characters: say it in "
                    f"1 to {most}; it is recorded in the event log"
                )


class Outcome(Enum):
    """How an action ended."""

    DONE = "done"
    REFUSED = "refused"  # A rule of ours or a right that was missing; nothing was changed.
    FAILED = "failed"  # It was tried; what is half done is said by the entry's other fields.
