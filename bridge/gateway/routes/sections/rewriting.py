"""How requests are changed on their way to a side, and answers on their way back.

A side gets what stands under its name and before that what stands under `both`. Rules of one kind
are done in this order: rename, move, remove, set, add. What no rule names stays byte for byte.
Ids are translated in the client's form: before a request is changed, after an answer was.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import AfterValidator, Field, JsonValue, model_validator

from bridge.gateway.routes.sections.section import Pointer, RouteShape, Section
from bridge.model.stage import Side

# The framing of a message and its way through proxies are the gateway's; a rule about them would
# make two readers of one message disagree.
_NOT_RULED: Final = frozenset(
    {
        "connection", "content-length", "date", "expect", "forwarded", "host", "keep-alive",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via",
        "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "idempotency-key",
    }
)  # fmt: skip
RULES_COUNT_MAX: Final = 100
"""Of one kind, for one side and way: more is a program, not a rule."""


def _ruled(name: str) -> str:
    if name.lower() in _NOT_RULED:
        raise ValueError(f"{name!r} is the gateway's own to write")
    return name


def _plain(value: str) -> str:
    if value != value.strip(" \t") or any(ord(sign) < 32 or ord(sign) > 126 for sign in value):
        raise ValueError("has a value that is not visible ASCII")
    return value


def _prefix(path: str) -> str:
    if not path.startswith("/") or "?" in path or "#" in path or not path.isascii():
        raise ValueError("is not a path that begins with '/'")
    if any(part in (".", "..", "") for part in path.removesuffix("/").split("/")[1:]):
        raise ValueError("has an empty or a dot segment")
    return path.removesuffix("/")


FieldName = Annotated[
    str, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$"), AfterValidator(_ruled)
]
FieldValue = Annotated[str, Field(max_length=4_096), AfterValidator(_plain)]
Prefix = Annotated[str, AfterValidator(_prefix)]


class HeaderRules(Section):
    """Changes to header fields; names are compared without regard to case."""

    rename: Annotated[Mapping[FieldName, FieldName], Field(max_length=RULES_COUNT_MAX)] = {}
    """Old name: new name; value and place stay."""
    remove: Annotated[tuple[FieldName, ...], Field(max_length=RULES_COUNT_MAX)] = ()
    """Names of fields to leave out."""
    set: Annotated[Mapping[FieldName, FieldValue], Field(max_length=RULES_COUNT_MAX)] = {}
    """Name: value, in the place of every field of that name."""
    add: Annotated[Mapping[FieldName, FieldValue], Field(max_length=RULES_COUNT_MAX)] = {}
    """Name: value, beside fields of that name."""


class BodyRules(Section):
    """Changes to a JSON body; a pointer may have `*` for every item of an array."""

    rename: Annotated[Mapping[Pointer, str], Field(max_length=RULES_COUNT_MAX)] = {}
    """Pointer to a member: its new name; value and place stay."""
    move: Annotated[Mapping[Pointer, Pointer], Field(max_length=RULES_COUNT_MAX)] = {}
    """Pointer to a member: pointer to where it goes; missing objects on the way are made."""
    remove: Annotated[tuple[Pointer, ...], Field(max_length=RULES_COUNT_MAX)] = ()
    """Pointers to members to leave out."""
    set: Annotated[Mapping[Pointer, JsonValue], Field(max_length=RULES_COUNT_MAX)] = {}
    """Pointer to a member: its value, put in when it is missing."""

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        for source, target in self.move.items():
            if "*" in source.split("/") or "*" in target.split("/"):
                raise ValueError(f"cannot move {source!r} to {target!r}: '*' names many places")
            if target == source or target.startswith(source + "/"):
                raise ValueError(f"cannot move {source!r} into itself")
        return self


class PathRule(Section):
    """Another beginning for the path of requests; what follows it stays byte for byte."""

    prefix: Prefix
    """What the client's path begins with, in whole segments; `/` is every path's."""
    to: Prefix
    """What the side's begins with instead."""


class AnswerRules(Section):
    """Changes to answers of one side."""

    headers: HeaderRules = HeaderRules()
    body: BodyRules = BodyRules()


class RequestRules(AnswerRules):
    """Changes to requests to one side."""

    path: PathRule | None = None
    """Another beginning of the path."""


class RequestRewriting(Section):
    """`request`: what changes on the way to each side."""

    both: RequestRules = RequestRules()
    legacy: RequestRules = RequestRules()
    modern: RequestRules = RequestRules()

    def rules_for(self, side: Side) -> tuple[RequestRules, ...]:
        """Return the rules that say something, in their order."""
        return _said((self.both, self.legacy if side is Side.LEGACY else self.modern))

    def refuse_misfit(self, route: RouteShape) -> None:
        """Refuse a prefix that the route's path does not begin with."""
        for rules in (self.both, self.legacy, self.modern):
            if rules.path is not None and not begins_with(route.path, rules.path.prefix):
                raise ValueError(
                    f"'request' rewrites prefix {rules.path.prefix!r}, which its path"
                    f" {route.path!r} does not begin with"
                )


class AnswerRewriting(Section):
    """`response`: what changes on the way back from each side."""

    both: AnswerRules = AnswerRules()
    legacy: AnswerRules = AnswerRules()
    modern: AnswerRules = AnswerRules()

    def rules_for(self, side: Side) -> tuple[AnswerRules, ...]:
        """Return the rules that say something, in their order."""
        return _said((self.both, self.legacy if side is Side.LEGACY else self.modern))


def begins_with(path: str, prefix: str) -> bool:
    """Whether a path begins with the whole segments of `prefix`."""
    return path == prefix or path.startswith(prefix + "/")


def _said(rules: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(each for each in rules if each != type(each)())
