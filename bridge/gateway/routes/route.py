"""A route as its file declares it: what it matches, and the rules that hold for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from bridge.gateway.openapi.document import ApiDocuments
from bridge.gateway.routes.block_edit import SideRewriting, side_rewriting
from bridge.gateway.routes.sections.accepts import Accepts
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.routes.sections.dual import DualRules
from bridge.gateway.routes.sections.ingress import IngressRules
from bridge.gateway.routes.sections.lenience import Lenience
from bridge.gateway.routes.sections.matching import HeaderTest
from bridge.gateway.routes.sections.protection import ProtectionRules
from bridge.gateway.routes.sections.reconciliation import ReconciliationRules
from bridge.gateway.routes.sections.rewriting import AnswerRewriting, RequestRewriting
from bridge.gateway.routes.sections.samples import Sample
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.routes.sections.timeouts import Phases, Timeouts
from bridge.gateway.routes.token_keys import TokenKeys
from bridge.model.stage import Side


class KeyPlace(Enum):
    """Where a route finds the key of the data that a request touches."""

    PATH = "path"  # A `{name}` of the path template.
    HEADER = "header"  # A request header.
    COOKIE = "cookie"  # A cookie of the request.
    QUERY = "query"  # A query parameter.
    CLAIM = "claim"  # A claim of the request's bearer token (see `token_keys`).
    JSON = "json"  # A JSON pointer (RFC 6901) into the request body.
    CREATED = "created"  # The id that the authority gives in its answer: a create.


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRule:
    """How a route's lane key is found."""

    place: KeyPlace
    name: str
    """Parameter, header, cookie or claim name, or JSON pointer (into the answer, for CREATED)."""
    entity: str | None = None
    """The id map's entity, when the key is an id that differs between the sides."""
    token_keys: TokenKeys | None = None
    """For CLAIM: only tokens that one of these signed have claims; None takes any token's word."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdRules:
    """Where ids that differ between the sides stand; values are entity names of the id map."""

    path: Mapping[str, str] = field(default_factory=dict)
    """Path parameter → entity."""
    request: Mapping[str, str] = field(default_factory=dict)
    """JSON pointer into the request body → entity."""
    response: Mapping[str, str] = field(default_factory=dict)
    """JSON pointer into the answer → entity; in bodies `*` names every item of an array."""
    query: Mapping[str, str] = field(default_factory=dict)
    """Query parameter → entity."""
    location: tuple[str, ...] = ()
    """Path templates of `Location` and `Content-Location`; a parameter's name is its entity."""

    def __bool__(self) -> bool:
        return self.in_requests or self.in_answers

    @property
    def in_requests(self) -> bool:
        """Whether requests hold ids."""
        return bool(self.path or self.request or self.query)

    @property
    def in_answers(self) -> bool:
        """Whether answers hold ids."""
        return bool(self.response or self.location)


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
    dual: DualRules = field(default_factory=DualRules)
    """What is promised of its writes on both sides, and what follows when that goes wrong."""
    timeouts: Timeouts = field(default_factory=Timeouts)
    lenience: Lenience = field(default_factory=Lenience)
    accepts: Accepts = field(default_factory=Accepts)
    protection: ProtectionRules = field(default_factory=ProtectionRules)
    """How much of its traffic is let through, and what goes first."""
    shadow: ShadowRules = field(default_factory=ShadowRules)
    """Which of its requests are copied to the other side, from stage `shadow` on."""
    ingress: IngressRules = field(default_factory=IngressRules)
    """Which of its requests are answered 202 and sent later."""
    comparison: ComparisonRules = field(default_factory=ComparisonRules)
    """How the answers of the two sides are compared."""
    api: ApiDocuments | None = None
    """The documents of `comparison.openapi`, read."""
    reconcile: ReconciliationRules = field(default_factory=ReconciliationRules)
    """How the entity that it reads is looked at on both sides, and repaired."""
    request: RequestRewriting = field(default_factory=RequestRewriting)
    """What changes in requests on their way to each side."""
    response: AnswerRewriting = field(default_factory=AnswerRewriting)
    """What changes in answers on their way back from each side."""
    header_test: HeaderTest | None = None
    """What it asks of a request's header fields, beside host, path and method."""
    samples: tuple[Sample, ...] = field(default=(), compare=False, repr=False)
    """What `routes check` runs."""
    cohort_salt: str = ""
    """Deals the group's keys into cohorts (see `cohort`); the group's name when not declared."""
    rewriting: Mapping[Side, SideRewriting | None] = field(init=False, compare=False, repr=False)
    """`request` and `response`, as they are done for each side."""
    limited: bool = field(init=False, compare=False, repr=False)
    """Whether it has rate limits: looked at for every request."""
    phases: Phases = field(init=False, compare=False, repr=False)
    """`timeouts` with `timeout_ms`, as requests use them."""

    @property
    def fallback_after_s(self) -> float:
        """For how long modern is waited for before legacy is asked, in seconds."""
        return (self.protection.fallback_after_ms or self.timeouts.connect_ms or 1_000) / 1000

    @property
    def has_key_outside_bodies(self) -> bool:
        """Whether its key is known before any body is."""
        return self.key is not None and self.key.place not in (KeyPlace.JSON, KeyPlace.CREATED)

    def __post_init__(self) -> None:
        object.__setattr__(self, "limited", bool(self.protection.rate_limits))
        object.__setattr__(self, "phases", self.timeouts.phases(self.timeout_ms))
        rewriting = {side: side_rewriting(self.request, self.response, side) for side in Side}
        object.__setattr__(self, "rewriting", rewriting)
