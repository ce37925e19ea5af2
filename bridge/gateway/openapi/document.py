"""An OpenAPI document, ready to be asked: which operation a request is."""

import functools
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from bridge.gateway.openapi.operations import Operation, OperationReader
from bridge.gateway.openapi.reading import Tree
from bridge.model.stage import Side

# A company's documents; each is read once for all routes that name it.
_DOCUMENTS_KEPT_MAX: Final = 64
_PARAMETER: Final = re.compile(r"\{([^{}]*)\}")


class _Path(NamedTuple):
    """One path of the document."""

    template: str
    pattern: re.Pattern[str]
    names: tuple[str, ...]
    operations: Mapping[str, Operation]
    """By method."""


class Found(NamedTuple):
    """The operation of a request, with what its path says."""

    operation: Operation
    parameters: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDocument:
    """One document; equal when the files are."""

    name: str
    """As the route names the file."""
    digest: str
    operations: tuple[Operation, ...] = field(compare=False, repr=False)
    property_names: frozenset[str] = field(compare=False, repr=False)
    """Names that schemas declare: others are data."""
    _bases: tuple[str, ...] = field(compare=False, repr=False)
    _paths: Mapping[tuple[int, str], tuple[_Path, ...]] = field(compare=False, repr=False)
    """By count of segments and the first one, which is empty for a parameter."""

    @classmethod
    def parse(cls, name: str, content: bytes) -> "ApiDocument":
        """Return the document in a file.

        Raises:
            DocumentFaultError: says where it is wrong, and why.
        """
        return _parsed(name, content)

    def find(self, method: str, path: str) -> Found | str:
        """Return the operation of a request; else `path` or `method` for what is not declared.

        `path` is without its query.
        """
        known = False
        for base in self._bases:
            if not path.startswith(base):
                continue
            rest = path[len(base) :] or "/"
            segments = rest.split("/")
            for first in (segments[1], ""):
                for candidate in self._paths.get((len(segments), first), ()):
                    match = candidate.pattern.fullmatch(rest)
                    if match is None:
                        continue
                    operation = candidate.operations.get(method)
                    if operation is None and method == "HEAD":
                        operation = candidate.operations.get("GET")
                    if operation is not None:
                        named = zip(candidate.names, match.groups(), strict=True)
                        return Found(operation, dict(named))
                    known = True
        return "method" if known else "path"

    def paths_of(self, operation: Operation) -> tuple[str, ...]:
        """Return the templates of an operation, as requests have them: with each server's path."""
        return tuple(base + operation.path for base in self._bases)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiDocuments:
    """The documents that both sides of a route are held to."""

    legacy: ApiDocument
    modern: ApiDocument

    def of(self, side: Side) -> ApiDocument:
        """Return the document of a side."""
        return self.legacy if side is Side.LEGACY else self.modern

    @property
    def digest(self) -> str:
        """Names both files: counts under others are never added up."""
        both = f"{self.legacy.digest} {self.modern.digest}"
        return "openapi-" + hashlib.sha256(both.encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=_DOCUMENTS_KEPT_MAX)
def _parsed(name: str, content: bytes) -> ApiDocument:
    tree = Tree(content)
    reader = OperationReader(tree)
    operations = tuple(reader.operations())
    return ApiDocument(
        name=name,
        digest=hashlib.sha256(content).hexdigest(),
        operations=operations,
        property_names=frozenset(reader.answers.property_names | reader.requests.property_names),
        _bases=_bases(tree),
        _paths=_by_shape(operations),
    )


def _bases(tree: Tree) -> tuple[str, ...]:
    """Return the paths of all servers, longest first; without any the root."""
    servers = tree.root.get("servers")
    found = set()
    for number, server in enumerate(servers if isinstance(servers, list) else ()):
        at = f"/servers/{number}"
        url = str(tree.object_at(server, at).get("url", "/"))
        for name, variable, where in tree.members(server.get("variables"), f"{at}/variables"):
            default = str(tree.object_at(variable, where).get("default", ""))
            url = url.replace(f"{{{name}}}", default)
        found.add(urlsplit(url).path.rstrip("/"))
    return tuple(sorted(found or {""}, key=lambda base: (-len(base), base)))


def _by_shape(operations: Iterable[Operation]) -> dict[tuple[int, str], tuple[_Path, ...]]:
    methods: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        methods.setdefault(operation.path, {})[operation.method] = operation
    found: dict[tuple[int, str], list[_Path]] = {}
    for template, known in methods.items():
        segments = template.split("/")
        first = segments[1] if not _PARAMETER.search(segments[1]) else ""
        names = tuple(_PARAMETER.findall(template))
        made = _Path(template, _pattern(template), names, known)
        found.setdefault((len(segments), first), []).append(made)
    # OpenAPI 3.0.4, 4.8.8.2: concrete paths come before those with parameters.
    return {
        shape: tuple(sorted(paths, key=lambda path: (len(path.names), path.template)))
        for shape, paths in found.items()
    }


def _pattern(template: str) -> re.Pattern[str]:
    parts = _PARAMETER.split(template)
    return re.compile(
        "".join(re.escape(part) if at % 2 == 0 else "([^/]+)" for at, part in enumerate(parts))
    )
