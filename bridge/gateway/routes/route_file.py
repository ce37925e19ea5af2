"""What a route file may say, as models: one file is one group of routes.

A part of a route with rules of its own (shadowing, timeouts …) is a `Section` in a module of its
own under `sections/`. To add one, give it a line in `RouteSections` here and a field of the same
name and type on `Route`: the very object that was read is the rule value that the gateway uses.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from bridge.gateway.http.fields import is_token
from bridge.gateway.routes.path_template import check_template, parameters
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule
from bridge.gateway.routes.sections.accepts import Accepts
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.routes.sections.dual import DualRules
from bridge.gateway.routes.sections.ingress import IngressRules
from bridge.gateway.routes.sections.lenience import Lenience
from bridge.gateway.routes.sections.matching import (
    CONDITIONS_COUNT_MAX,
    HeaderCondition,
    HeaderName,
    HeaderTest,
)
from bridge.gateway.routes.sections.protection import ProtectionRules
from bridge.gateway.routes.sections.reconciliation import ReconciliationRules
from bridge.gateway.routes.sections.rewriting import AnswerRewriting, RequestRewriting
from bridge.gateway.routes.sections.samples import SAMPLES_COUNT_MAX, Sample
from bridge.gateway.routes.sections.section import Count, Flag, Name, Pointer, Section
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.gateway.routes.sections.timeouts import Timeouts
from bridge.gateway.routes.token_keys import TokenKeys
from bridge.model.stage import Side

# Large enough for uploads of documents; a journalled body is held in memory up to this size.
BODY_BYTES_MAX_DEFAULT: Final = 16 * 1024 * 1024
TIMEOUT_MS_DEFAULT: Final = 30_000

_SAFE: Final = frozenset(("GET", "HEAD", "OPTIONS"))


def _method(name: str) -> str:
    if not name.isascii() or not is_token(name.encode()) or name != name.upper():
        raise ValueError(f"has method {name!r}; methods are upper-case names, e.g. [GET, POST]")
    return name


def _without_twins(names: tuple[str, ...]) -> tuple[str, ...]:
    if not names:
        raise ValueError("has no method in it; leave it away for every method")
    if len(set(names)) != len(names):
        raise ValueError("names a method twice")
    return names


class KeyEntry(Section):
    """Where the key of the data that a request touches stands: one place."""

    path: str | None = None
    """A `{name}` of the path."""
    header: str | None = None
    """A request header."""
    cookie: str | None = None
    """A cookie."""
    query: str | None = None
    """A query parameter."""
    claim: str | None = None
    """A claim of the bearer token (JWT): its name, or a JSON pointer into the claims."""
    json_: Pointer | None = Field(default=None, alias="json")
    """A JSON pointer into the request's body."""
    created: Pointer | None = None
    """A JSON pointer into the answer of a create: the id that the authority gave."""
    entity: Name | None = None
    """What kind of thing the id names, when the two sides give it different ids."""
    verified_by: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$")] | None = None
    """For `claim`: a file beside the route files with the keys of the token's issuer (a JWK set,
    or a PEM public key). Without it a claim is what the client says."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if len(self.places()) != 1:
            places = ", ".join(place.value for place in KeyPlace)
            raise ValueError(f"needs one place out of {places}")
        if self.verified_by is not None and self.claim is None:
            raise ValueError("has 'verified_by', which only a 'claim' can be")
        return self

    def places(self) -> list[tuple[KeyPlace, str]]:
        """Return the places that are given."""
        given = self.model_dump(by_alias=True)
        return [(place, given[place.value]) for place in KeyPlace if given[place.value]]

    def rule(self, token_keys: TokenKeys | None) -> KeyRule:
        """Return the rule that is meant; `token_keys` are those of `verified_by`."""
        place, name = self.places()[0]
        return KeyRule(place=place, name=name, entity=self.entity, token_keys=token_keys)


class IdsEntry(Section):
    """Where ids stand that differ between the sides, and what kind of thing each one names."""

    path: Mapping[str, Name] = {}
    """A `{name}` of the path: the entity."""
    request: Mapping[Pointer, Name] = {}
    """A JSON pointer into the request's body: the entity; `*` names every item of an array."""
    response: Mapping[Pointer, Name] = {}
    """A JSON pointer into the answer's body: the entity; `*` as in requests."""
    query: Mapping[str, Name] = {}
    """A query parameter: the entity."""
    location: tuple[Annotated[str, AfterValidator(check_template)], ...] = ()
    """Path templates of `Location` and `Content-Location` of answers; the name of a `{parameter}`
    is its entity."""

    def rules(self) -> IdRules:
        """Return the rules that are meant."""
        return IdRules(**{name: getattr(self, name) for name in type(self).model_fields})


class RouteSections(Section):
    """What a route may say and a file may say for all its routes, under `defaults`."""

    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$")] | None = None
    """The host that requests name; without it every host."""
    body_bytes_max: Count = BODY_BYTES_MAX_DEFAULT
    """A larger request body is refused with 413."""
    timeout_ms: Count = TIMEOUT_MS_DEFAULT
    """How long an upstream has for its answer."""
    server_error_in_doubt: Flag = False
    """Whether the application may answer 500 after it committed: such a write is in doubt."""
    dual: DualRules = DualRules()
    """How its writes come to both sides."""
    timeouts: Timeouts = Timeouts()
    """How long each phase may take, where `timeout_ms` alone does not say it."""
    lenience: Lenience = Lenience()
    """What old clients may do that HTTP/1.1 forbids."""
    accepts: Accepts = Accepts()
    """What the upstreams understand beyond what every HTTP/1.1 server must."""
    protection: ProtectionRules = ProtectionRules()
    """How much of its traffic is let through, and what goes first when there is no room."""
    shadow: ShadowRules = ShadowRules()
    """What is copied to the other side for comparison, from stage `shadow` on."""
    ingress: IngressRules = IngressRules()
    """Which of its requests are answered 202 at once and sent later."""
    comparison: ComparisonRules = ComparisonRules()
    """How the answers of the two sides are compared."""
    reconcile: ReconciliationRules = ReconciliationRules()
    """How the entity that it reads is looked at on both sides, and repaired."""
    request: RequestRewriting = RequestRewriting()
    """What changes in requests on their way to each side."""
    response: AnswerRewriting = AnswerRewriting()
    """What changes in answers on their way back from each side."""


class RouteEntry(RouteSections):
    """One route: the requests that it takes, and what holds for them."""

    route_id: Name = Field(alias="id")
    """The route's name, unique over all files."""
    methods: Annotated[
        tuple[Annotated[str, AfterValidator(_method)], ...], AfterValidator(_without_twins)
    ] = ()
    """The methods that it takes; without them every method."""
    path: Annotated[str, AfterValidator(check_template)]
    """Literal segments and `{name}` segments; a last `{name...}` takes the rest."""
    headers: Annotated[
        Mapping[HeaderName, HeaderCondition], Field(max_length=CONDITIONS_COUNT_MAX)
    ] = {}
    """What header fields have to be for this route to take a request: of two routes with the same
    path and method the one that asks for more comes first, and one that asks for nothing last."""
    writes: Flag | None = None
    """Whether it changes data. It must be said for methods that may."""
    key: KeyEntry | None = None
    """Where the key of its data stands. Needed by routes that write on two sides."""
    ids: IdsEntry = IdsEntry()
    """Ids to translate between the sides."""
    samples: Annotated[tuple[Sample, ...], Field(max_length=SAMPLES_COUNT_MAX)] = ()
    """Requests and answers with what the rules make of them; `routes check` runs them."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.writes and (not self.methods or _SAFE.intersection(self.methods)):
            raise ValueError("writes with a method that only reads; split it in two")
        names = parameters(self.path)
        for place, name in self.key.places() if self.key else ():
            if place is KeyPlace.PATH and name not in names:
                raise ValueError(f"'key' names {name!r}, which is not in its path")
        for name in self.ids.path:
            if name not in names:
                raise ValueError(f"'ids.path' names {name!r}, which is not in its path")
        return self

    def header_test(self) -> HeaderTest | None:
        """Return what is asked of header fields; None when nothing is."""
        return HeaderTest.of(self.headers) if self.headers else None

    def refuse_unsaid(self) -> None:
        """Raise `ValueError` when a route of a group with two sides leaves open what it writes."""
        unsafe = not self.methods or not _SAFE.issuperset(self.methods)
        if unsafe and self.writes is None:
            raise ValueError(
                "takes methods that may change data and does not say 'writes: true' or"
                " 'writes: false'; a write that is not journalled is lost on the other side"
            )
        if self.writes and self.key is None:
            raise ValueError(
                "writes in a group with two sides and has no 'key'; say where the id of the data"
                " stands, e.g. key: {path: order_id}"
            )


def _at_least_one(routes: tuple[RouteEntry, ...]) -> tuple[RouteEntry, ...]:
    if not routes:
        raise ValueError("is not a list with at least one route")
    return routes


class RouteFile(Section):
    """One file of `routes/`: a group of routes that touch the same data."""

    group: Name
    """The group's name: it is what is switched."""
    sides: Mapping[Side, str]
    """The upstream of each side; a group that only passes through has legacy alone."""
    cohort_salt: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Deals the group's keys into cohorts; the group's name when absent. Groups with one salt have
    the same cohorts; another salt deals all keys anew, in the middle of a ramp too."""
    defaults: RouteSections = RouteSections()
    """What holds for all routes of the file, unless a route says otherwise."""
    routes: Annotated[tuple[RouteEntry, ...], AfterValidator(_at_least_one)]
    """The routes."""

    @field_validator("sides")
    @classmethod
    def _with_legacy(cls, sides: Mapping[Side, str]) -> Mapping[Side, str]:
        if Side.LEGACY not in sides:
            raise ValueError("names no upstream for 'legacy'")
        return sides

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, tree: Any) -> Any:
        return _spread(tree) if isinstance(tree, dict) else tree


def _spread(tree: dict[str, Any]) -> dict[str, Any]:
    """Return `tree` with its defaults written into its routes.

    A section of a route is joined with the file's key by key; `off` takes nothing from the file.
    """
    defaults, entries = tree.get("defaults"), tree.get("routes")
    if not isinstance(defaults, dict) or not isinstance(entries, list):
        return tree
    known = RouteSections.model_fields
    given = {name: value for name, value in defaults.items() if name in known}
    routes: list[Any] = []
    for entry in entries:
        if not isinstance(entry, dict):
            routes.append(entry)
            continue
        joined = {**given, **entry}
        for name, value in given.items():
            own = entry.get(name, value)
            if isinstance(value, dict) and isinstance(own, dict):
                joined[name] = {**value, **own}
            elif isinstance(value, dict) and own in (False, "off"):
                del joined[name]
        routes.append(joined)
    return {**tree, "routes": routes}
