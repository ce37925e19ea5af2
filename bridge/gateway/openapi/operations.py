"""The operations of a document: what each takes, and what it may answer."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from jsonschema_rs import Draft202012Validator

from bridge.gateway.openapi.reading import DocumentFaultError, Tree, below
from bridge.gateway.openapi.schemas import IN_ANSWER, IN_REQUEST, SchemaBook

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_PLACES: Final = frozenset(("path", "query", "header", "cookie"))
# OpenAPI 3.0.4, 4.8.12.1: described elsewhere, and ignored as parameters.
_NOT_PARAMETERS: Final = frozenset(("accept", "content-type", "authorization"))

Contents = Mapping[str, Draft202012Validator | None]
"""Media type or range, in lower case → the schema of JSON; None where any content will do."""


class Parameter(NamedTuple):
    """Something that a request says outside of its body."""

    place: str
    name: str
    required: bool
    kinds: tuple[str, ...]
    """Types of its value; empty when any will do."""
    item_kinds: tuple[str, ...]
    """Types of the items, for `array`."""
    separator: str
    """Between items of one value; empty when the parameter stands there once for each."""
    validator: Draft202012Validator | None
    """None where the value is written in a way that is not looked into."""


class Answer(NamedTuple):
    """What an answer of a status may be."""

    contents: Contents
    headers: tuple[tuple[str, bool, Draft202012Validator | None, tuple[str, ...]], ...]
    """Name in lower case, whether it is required, schema, and types of its value."""


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str
    """The document's template."""
    parameters: tuple[Parameter, ...]
    body_required: bool
    body: Contents | None
    """None where no body is declared."""
    answers: Mapping[str, Answer]
    """By status, `2XX` or `default`."""

    def answer(self, status: int) -> Answer | None:
        """Return what is declared for `status`; None when nothing is."""
        exact = self.answers.get(str(status))
        if exact is not None:
            return exact
        return self.answers.get(f"{status // 100}XX") or self.answers.get("default")


class OperationReader:
    """Reads every operation of a document, with its schemas.

    Raises:
        DocumentFaultError: something that is read is not what OpenAPI says.
    """

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.requests = SchemaBook(tree, IN_REQUEST)
        self.answers = SchemaBook(tree, IN_ANSWER)

    def operations(self) -> Iterator[Operation]:
        """Yield each operation."""
        tree = self._tree
        for path, given, start in tree.fixed(tree.root.get("paths"), "/paths"):
            if not path.startswith("/"):
                raise DocumentFaultError(start, "does not begin with '/'")
            item, at = tree.resolved(given, start)
            item = tree.object_at(item, at)
            shared = self._parameters(item.get("parameters"), f"{at}/parameters")
            for method in METHODS:
                if method in item:
                    yield self._operation(method, path, item[method], below(at, method), shared)

    def _operation(
        self,
        method: str,
        path: str,
        given: object,
        at: str,
        shared: Mapping[tuple[str, str], Parameter],
    ) -> Operation:
        tree = self._tree
        operation = tree.object_at(given, at)
        own = self._parameters(operation.get("parameters"), f"{at}/parameters")
        required, body = False, None
        if "requestBody" in operation:
            found, where = tree.resolved(operation["requestBody"], f"{at}/requestBody")
            found = tree.object_at(found, where)
            required = found.get("required") is True
            body = self._contents(self.requests, found, where)
        responses = {
            status: self._answer(answer, where)
            for status, answer, where in tree.fixed(operation.get("responses"), f"{at}/responses")
        }
        if not responses:
            raise DocumentFaultError(f"{at}/responses", "declares no answer")
        for status in responses:
            _refuse_status(status, below(f"{at}/responses", status))
        parameters = tuple({**shared, **own}.values())
        return Operation(method.upper(), path, parameters, required, body, responses)

    def _parameters(self, given: object, at: str) -> dict[tuple[str, str], Parameter]:
        if given is None:
            return {}
        if not isinstance(given, list):
            raise DocumentFaultError(at, "is no list")
        found = {}
        for number, one in enumerate(given):
            value, where = self._tree.resolved(one, below(at, number))
            parameter = self._parameter(self._tree.object_at(value, where), where)
            if parameter.place != "header" or parameter.name not in _NOT_PARAMETERS:
                found[parameter.place, parameter.name] = parameter
        return found

    def _parameter(self, given: Mapping[str, Any], at: str) -> Parameter:
        place, name = given.get("in"), given.get("name")
        if place not in _PLACES or not isinstance(name, str):
            raise DocumentFaultError(at, "has no 'name', or no 'in' that is known")
        kinds, item_kinds = self._kinds(given.get("schema"), f"{at}/schema")
        style = given.get("style", "form" if place in ("query", "cookie") else "simple")
        explode = given.get("explode", style == "form")
        validator = None
        if "schema" in given:
            validator = self.requests.validator(given["schema"], f"{at}/schema")
        # Objects are spread over names, and `content` has a language of its own.
        if style not in ("form", "simple") or "object" in kinds or (explode and place == "cookie"):
            validator = None
        return Parameter(
            place=str(place),
            name=name.lower() if place == "header" else name,
            required=given.get("required") is True,
            kinds=kinds,
            item_kinds=item_kinds,
            separator="" if place == "query" and explode else ",",
            validator=validator,
        )

    def _kinds(self, given: object, at: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        schema, at = self._tree.resolved(given, at)
        if not isinstance(schema, dict):
            return (), ()
        items, _ = self._tree.resolved(schema.get("items"), f"{at}/items")
        return _types(schema), _types(items) if isinstance(items, dict) else ()

    def _answer(self, given: object, at: str) -> Answer:
        found, at = self._tree.resolved(given, at)
        answer = self._tree.object_at(found, at)
        headers = []
        for name, header, start in self._tree.members(answer.get("headers"), f"{at}/headers"):
            value, where = self._tree.resolved(header, start)
            value = self._tree.object_at(value, where)
            kinds, _ = self._kinds(value.get("schema"), f"{where}/schema")
            validator = None
            if "schema" in value and not {"object", "array"} & set(kinds):
                validator = self.answers.validator(value["schema"], f"{where}/schema")
            if name.lower() != "content-type":  # As for parameters: `content` says it.
                headers.append((name.lower(), value.get("required") is True, validator, kinds))
        return Answer(self._contents(self.answers, answer, at), tuple(headers))

    def _contents(self, book: SchemaBook, given: Mapping[str, Any], at: str) -> Contents:
        found: dict[str, Draft202012Validator | None] = {}
        for media_type, content, where in self._tree.members(given.get("content"), f"{at}/content"):
            name = media_type.partition(";")[0].strip().lower()
            schema = self._tree.object_at(content, where).get("schema")
            found[name] = None
            if schema is not None and schema is not True:
                found[name] = book.validator(schema, f"{where}/schema")
        return found


def _types(schema: Mapping[str, Any]) -> tuple[str, ...]:
    kind = schema.get("type")
    if isinstance(kind, str):
        return (kind,)
    return tuple(kind) if isinstance(kind, list) else ()


def _refuse_status(status: str, at: str) -> None:
    known = status == "default" or (
        len(status) == 3 and status[0] in "12345" and (status[1:] == "XX" or status.isdecimal())
    )
    if not known:
        raise DocumentFaultError(at, "is no status: '404', '4XX' and 'default' are")
