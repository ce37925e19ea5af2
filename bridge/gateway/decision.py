"""What the route table decides for one request, and the rules of the route that matched."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Protocol

from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage


class KeyPlace(Enum):
    """Where a route finds the key of the data that a request touches."""

    PATH = "path"  # A `{name}` of the path template.
    HEADER = "header"  # A request header.
    QUERY = "query"  # A query parameter.
    JSON = "json"  # A JSON pointer (RFC 6901) into the request body.
    CREATED = "created"  # The id that the authority gives in its answer: a create.


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRule:
    """How a route's lane key is found."""

    place: KeyPlace
    name: str
    """Parameter or header name, or JSON pointer (into the answer, for CREATED)."""
    entity: str | None = None
    """The id map's entity, when the key is an id that differs between the sides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRules:
    """Where ids that differ between the sides stand; values are entity names of the id map."""

    path: Mapping[str, str] = field(default_factory=dict)
    """Path parameter → entity."""
    request: Mapping[str, str] = field(default_factory=dict)
    """JSON pointer into the request body → entity."""
    response: Mapping[str, str] = field(default_factory=dict)
    """JSON pointer into the answer → entity."""

    def __bool__(self) -> bool:
        return bool(self.path or self.request or self.response)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One HTTP pattern of a route group."""

    route_id: str
    group: str
    methods: tuple[bytes, ...]
    path: str
    """Template: literal segments and `{name}` segments; a last `{name...}` takes the rest."""
    host: str | None
    writes: bool
    """Whether it changes data, and so is journalled when the group's stage calls for it."""
    key: KeyRule | None
    ids: IdRules
    upstreams: Mapping[Side, str]
    """Upstream name per side; a group that only passes through has legacy alone."""
    body_bytes_max: int
    timeout_ms: int
    server_error_in_doubt: bool = False
    """Whether the application may answer 500 after it committed: such a write is then in doubt."""


class Decision(NamedTuple):
    """Route, stage and side for one request, from one immutable table."""

    route: Route
    stage: Stage
    epoch: int
    authority: Side
    params: Mapping[str, str]
    """Path parameters, percent-decoded once."""
    journalled: bool
    """A write at a stage that has two sides: it takes the write path, not the fast path."""
    upstream: str = ""
    """The authority's upstream, for a request that is forwarded as it comes."""
    has_ids: bool = False
    """Whether the write path has to be asked for ids to translate."""


class WritePath(Protocol):
    """The part of the gateway that knows both sides; the data plane hands it whole requests."""

    async def write(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Take a journalled write through intent, authority, outcome; return the client's answer.

        Never raises for what the sides do: a refusal of our own comes as problem+json.
        """

    async def read(self, decision: Decision, request: HttpRequest) -> HttpResponse:
        """Forward a request whose ids must be translated on the way in and out."""

    def translates(self, decision: Decision) -> bool:
        """Whether the authority knows an id of this request by another name (cheap, no wait)."""
