"""Whether a request and its answers are what a document declares.

What is found has a rule and a place, and never a value: a member that no schema of the document
names is data, and so is told as `*`.
"""

from collections.abc import Iterable, Sequence
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl, unquote

import jsonschema_rs
import orjson

from bridge.gateway.openapi.document import ApiDocument, Found
from bridge.gateway.openapi.operations import Contents, Parameter
from bridge.model.http import Headers

# Of one message: what is found more often than this is one fault, told by its first places.
FAULTS_COUNT_MAX: Final = 20
# A check is made in one go: 40 microseconds for a kilobyte where numbers have a `multipleOf`, ten
# where they have none. Of each list in a larger body some items are looked at, evenly spaced.
_WHOLE_BYTES_MAX: Final = 32 * 1024
_ITEMS_LOOKED_AT: Final = 10
# Explaining each of a thousand faults takes milliseconds.
_EXPLAINED_BYTES_MAX: Final = 8 * 1024
_DEPTH_MAX: Final = 64
# What a list may break because it is not whole, and combinations that may hold such a list.
_NOT_OF_PARTS: Final = frozenset(("anyOf", "contains", "minContains", "minItems", "not", "oneOf"))
_FIELDS_COUNT_MAX: Final = 200
_BODILESS: Final = frozenset((204, 205, 304))


class Fault(NamedTuple):
    """One thing that is not as declared."""

    rule: str
    """A keyword of JSON Schema, or `path` `method` `status` `content-type` `body` `undeclared`
    `json`."""
    place: str
    """`/items/*/price` in a body; `status:404`, `header:etag`, `query:page`, `cookie:…`, `path:…`
    elsewhere."""


def request_faults(
    document: ApiDocument, method: str, target: str, headers: Headers, body: bytes | None
) -> tuple[Found | None, tuple[Fault, ...]]:
    """Return the operation of a request, and what is wrong with it.

    `target` is as it was sent, with its query; `body` is decoded, None when it is not at hand.
    """
    path, _, query = target.partition("?")
    found = document.find(method, path)
    if isinstance(found, str):
        return None, (Fault(found, "request"),)
    operation = found.operation
    faults: list[Fault] = []
    given = _Given(found, query, headers)
    for parameter in operation.parameters:
        _check_parameter(parameter, given.values(parameter), faults)
    if body is not None and operation.body is not None:
        if body:
            _check_content(document, operation.body, _media_type(headers), body, faults)
        elif operation.body_required:
            faults.append(Fault("required", "body"))
    return found, tuple(dict.fromkeys(faults))[:FAULTS_COUNT_MAX]


def answer_faults(
    document: ApiDocument, found: Found, method: str, status: int, headers: Headers, body: bytes
) -> tuple[Fault, ...]:
    """Return what is wrong with an answer, whose `body` is decoded."""
    answer = found.operation.answer(status)
    if answer is None:
        return (Fault("status", f"status:{status}"),)
    faults: list[Fault] = []
    for name, required, validator, kinds in answer.headers:
        lines = [value for field, value in headers if field.lower() == name.encode("latin-1")]
        if not lines:
            if required:
                faults.append(Fault("required", f"header:{name}"))
        elif validator is not None:
            text = b", ".join(lines).decode("latin-1").strip()
            _judge(validator, _typed(text, kinds), f"header:{name}", faults)
    if method != "HEAD" and status not in _BODILESS:
        if body:
            _check_content(document, answer.contents, _media_type(headers), body, faults)
        elif answer.contents:
            faults.append(Fault("body", "/"))
    return tuple(dict.fromkeys(faults))[:FAULTS_COUNT_MAX]


class _Given:
    """What a request says outside of its body."""

    def __init__(self, found: Found, query: str, headers: Headers) -> None:
        self._found = found
        self._headers = headers
        self._query: dict[str, list[str]] = {}
        if query:
            pairs = parse_qsl(query, keep_blank_values=True)[:_FIELDS_COUNT_MAX]
            for name, value in pairs:
                self._query.setdefault(name, []).append(value)

    def values(self, parameter: Parameter) -> list[str]:
        """Return what is given for a parameter; nothing when it is not there."""
        if parameter.place == "query":
            return self._query.get(parameter.name, [])
        if parameter.place == "path":
            value = self._found.parameters.get(parameter.name)
            return [] if value is None else [unquote(value)]
        name = b"cookie" if parameter.place == "cookie" else parameter.name.encode("latin-1")
        lines = [value for field, value in self._headers if field.lower() == name]
        if parameter.place == "header":
            return [b", ".join(lines).decode("latin-1").strip()] if lines else []
        try:
            morsel = SimpleCookie(b"; ".join(lines).decode("latin-1")).get(parameter.name)
        except CookieError:
            return []
        return [] if morsel is None else [morsel.value]


def _check_parameter(parameter: Parameter, given: list[str], faults: list[Fault]) -> None:
    place = f"{parameter.place}:{parameter.name}"
    if not given:
        # What is spread over several names (objects) is not under its own.
        if parameter.required and "object" not in parameter.kinds:
            faults.append(Fault("required", place))
        return
    if parameter.validator is None:
        return
    value: Any
    if "array" in parameter.kinds:
        parts = given
        if parameter.separator:
            parts = [part.strip() for part in given[0].split(parameter.separator)]
        value = [_typed(part, parameter.item_kinds) for part in parts]
    else:
        value = _typed(given[0], parameter.kinds)
    _judge(parameter.validator, value, place, faults)


def _typed(text: str, kinds: Sequence[str]) -> object:
    """Return what `text` stands for, where its type is declared; the text when it does not."""
    for kind in kinds:
        try:
            if kind == "integer":
                return int(text)
            if kind == "number":
                return float(text)
        except ValueError:
            continue
        if kind == "boolean" and text in ("true", "false"):
            return text == "true"
        if kind == "null" and not text:
            return None
    return text


def _judge(
    validator: jsonschema_rs.Draft202012Validator, value: object, place: str, faults: list[Fault]
) -> None:
    if not validator.is_valid(value):
        rules = {_rule(error) for error in validator.iter_errors(value)}
        faults += [Fault(rule, place) for rule in sorted(rules)]


def _media_type(headers: Headers) -> str:
    for name, value in headers:
        if name.lower() == b"content-type":
            return value.decode("latin-1").partition(";")[0].strip().lower()
    return ""


def _check_content(
    document: ApiDocument, contents: Contents, media_type: str, body: bytes, faults: list[Fault]
) -> None:
    if not contents:
        faults.append(Fault("undeclared", "body"))
        return
    for name in (media_type, f"{media_type.partition('/')[0]}/*", "*/*"):
        if name in contents:
            break
    else:
        faults.append(Fault("content-type", "header:content-type"))
        return
    validator = contents[name]
    is_json = media_type.endswith("+json") or media_type in ("application/json", "text/json")
    if validator is None or not is_json:
        return
    try:
        value = orjson.loads(body)
    except ValueError:
        faults.append(Fault("json", "/"))
        return
    if len(body) > _WHOLE_BYTES_MAX:
        faults += _faults_of_parts(document, validator, value)
    elif not validator.is_valid(value):
        if len(body) <= _EXPLAINED_BYTES_MAX:
            faults += _told(document, validator.iter_errors(value))
            return
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as first:
            faults += _told(document, (first,))
        faults += _faults_of_parts(document, validator, value)


def _faults_of_parts(
    document: ApiDocument, validator: jsonschema_rs.Draft202012Validator, value: Any
) -> list[Fault]:
    parts = _parts(value, 0)
    if validator.is_valid(parts):
        return []
    found = _told(document, validator.iter_errors(parts))
    return [fault for fault in found if fault.rule not in _NOT_OF_PARTS]


def _told(document: ApiDocument, errors: Iterable[jsonschema_rs.ValidationError]) -> list[Fault]:
    found: dict[Fault, None] = {}
    for error in errors:
        rule = _rule(error)
        if not rule:
            continue
        path = list(error.instance_path)
        if rule == "required":
            path.append(str(error.kind.as_dict().get("property", "*")))
        found[Fault(rule, _place(document, path))] = None
        if len(found) >= FAULTS_COUNT_MAX:
            break
    return list(found)


def _rule(error: jsonschema_rs.ValidationError) -> str:
    """Return the keyword; nothing when the engine gave up, which says nothing of the message."""
    if error.kind.name in ("backtrackLimitExceeded", "regexEngineFailure"):
        return ""
    words = [word for word in error.schema_path if isinstance(word, str)]
    return words[-1] if words else "schema"


def _place(document: ApiDocument, path: Iterable[str | int]) -> str:
    tokens = [
        token.replace("~", "~0").replace("/", "~1")
        if isinstance(token, str) and token in document.property_names
        else "*"
        for token in path
    ]
    return "/" + "/".join(tokens)


def _parts(value: Any, depth: int) -> Any:
    """Return `value` with some items of each of its lists."""
    if depth > _DEPTH_MAX:
        return value
    if isinstance(value, dict):
        return {name: _parts(member, depth + 1) for name, member in value.items()}
    if isinstance(value, list):
        step = max(1, len(value) // _ITEMS_LOOKED_AT)
        return [_parts(item, depth + 1) for item in value[::step]]
    return value
