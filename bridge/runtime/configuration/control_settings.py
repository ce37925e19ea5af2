"""The control plane's settings: where it listens, and who may use it."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bridge.runtime.configuration.section import Port, Section

_HOLDER = r"^[a-z][a-z0-9_.-]{0,60}$"
"""Names of holders are actors in the event log, kept for ever: an account, best no civil name."""


class TokenSettings(Section):
    """A token of the API that belongs to one person or service alone."""

    token: str = Field(min_length=16)
    """Best given by `BRIDGE_CONTROL__TOKENS__NAME__TOKEN`."""
    role: Literal["operator", "auditor"]
    """An operator reads and acts; an auditor reads, searches, exports and verifies."""
    type: Literal["person", "service"] = "person"


class ControlSettings(Section):
    """The control plane's API."""

    host: str = "127.0.0.1"
    port: Port = 8081
    token: str | None = Field(default=None, min_length=16)
    """Bearer token of the API, whoever holds it: its holder says who acts. It may be absent only on
    a loopback address."""
    tokens: dict[Annotated[str, Field(pattern=_HOLDER)], TokenSettings] = Field(
        default_factory=dict
    )
    """Tokens that belong to one person or service each: the name is the actor of what it does."""

    @property
    def guarded(self) -> bool:
        """Whether the API asks for a token."""
        return self.token is not None or bool(self.tokens)

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        given = [self.token] if self.token else []
        given += [holder.token for holder in self.tokens.values()]
        if len(set(given)) < len(given):
            raise ValueError("two tokens are equal: each belongs to one holder alone")
        return self
