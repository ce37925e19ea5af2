"""The header fields of two answers, as far as a client acts on them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from bridge.gateway.comparison.difference import DifferenceKind, FindOtherId
from bridge.gateway.comparison.leaf_rules import accepts
from bridge.gateway.comparison.walk import Walk
from bridge.gateway.routes.sections.comparison_rules import AnyRule, IgnoreRule
from bridge.model.http import Headers

_COOKIES: Final = "set-cookie"
# Parameters of Set-Cookie that are a promise to the browser; expiry is an hour and the value a
# session's secret, which no two systems share.
_COOKIE_ATTRIBUTES: Final = frozenset({"domain", "httponly", "path", "samesite", "secure"})
# Lists whose order and white space have no meaning (RFC 9110 §5.6.1).
_LISTS: Final = frozenset({"allow", "cache-control", "content-language", "vary"})


def compare_headers(
    walk: Walk,
    authority: Headers,
    other: Headers,
    counted: Sequence[str],
    rules: Mapping[str, tuple[AnyRule, ...]],
    ids: FindOtherId | None,
) -> None:
    """Compare the counted fields; `rules` are by place (`header:NAME`, `cookie:NAME`)."""
    mine, theirs = _by_name(authority, counted), _by_name(other, counted)
    for name in counted:
        if mine.get(name) == theirs.get(name):
            continue
        if name == _COOKIES:
            _compare_cookies(walk, mine.get(name, []), theirs.get(name, []), rules, ids)
            continue
        _compare(walk, f"header:{name}", _value(name, mine), _value(name, theirs), rules, ids)


def _by_name(headers: Headers, counted: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for raw, value in headers:
        name = raw.decode("latin-1").lower()
        if name in counted:
            found.setdefault(name, []).append(value.decode("latin-1").strip())
    return found


def _value(name: str, fields: Mapping[str, list[str]]) -> str | None:
    if name not in fields:
        return None
    value = ", ".join(fields[name])
    if name == "content-type":
        return _media_type(value)
    if name in _LISTS:
        return ", ".join(sorted(part.strip().lower() for part in value.split(",")))
    return value


def _media_type(value: str) -> str:
    """Return the type with its parameters in one spelling; UTF-8 is what JSON has anyhow."""
    parts = [part.strip().lower().replace('"', "") for part in value.split(";")]
    parameters = sorted(part for part in parts[1:] if part and part != "charset=utf-8")
    return "; ".join((parts[0], *parameters))


def _compare_cookies(
    walk: Walk,
    authority: Sequence[str],
    other: Sequence[str],
    rules: Mapping[str, tuple[AnyRule, ...]],
    ids: FindOtherId | None,
) -> None:
    mine, theirs = _cookies(authority), _cookies(other)
    for name in sorted({*mine, *theirs}):
        _compare(walk, f"cookie:{name}", mine.get(name), theirs.get(name), rules, ids)


def _cookies(lines: Iterable[str]) -> dict[str, str]:
    found = {}
    for line in lines:
        pair, *parameters = line.split(";")
        told = sorted(
            part
            for part in (parameter.strip().lower() for parameter in parameters)
            if part.partition("=")[0] in _COOKIE_ATTRIBUTES
        )
        found[pair.partition("=")[0].strip()] = "; ".join(told)
    return found


def _compare(
    walk: Walk,
    place: str,
    mine: str | None,
    theirs: str | None,
    rules: Mapping[str, tuple[AnyRule, ...]],
    ids: FindOtherId | None,
) -> None:
    if mine == theirs:
        return
    for rule in rules.get(place, ()):
        if isinstance(rule, IgnoreRule) or accepts(rule, mine, theirs, ids):
            walk.hide(rule)
            return
    kind = DifferenceKind.VALUE
    if mine is None:
        kind = DifferenceKind.EXTRA
    elif theirs is None:
        kind = DifferenceKind.MISSING
    walk.differ_at(place, kind, mine, theirs)
