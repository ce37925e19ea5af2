"""Who acts in a test, and why."""

from bridge.model.warrant import Actor, ActorType, Known, Warrant


def by(actor: str = "ana", reason: str = "a test", ticket: str = "T-1") -> Warrant:
    """Return a person's warrant."""
    who = Actor(id=actor, type=ActorType.PERSON, known=Known.DECLARED)
    return Warrant(actor=who, reason=reason, ticket=ticket)
