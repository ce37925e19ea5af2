"""Load `routes/*.yaml`: one route group per file, strictly."""

from collections.abc import Collection, Iterable
from pathlib import Path

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from bridge.contracts.refusals import hint, known_keys, reason
from bridge.contracts.strict_yaml import load_strictly
from bridge.gateway.openapi.document import ApiDocument, ApiDocuments
from bridge.gateway.openapi.reading import DocumentFaultError
from bridge.gateway.routes.route import Route
from bridge.gateway.routes.route_file import KeyEntry, RouteEntry, RouteFile, RouteSections
from bridge.gateway.routes.sections.comparison import ComparisonRules, DocumentPaths
from bridge.gateway.routes.sections.section import Section
from bridge.gateway.routes.table import RoutingTable
from bridge.gateway.routes.token_keys import TokenKeys
from bridge.model.errors import ConfigInvalid


def load_routes(folder: Path, upstreams: Collection[str]) -> tuple[Route, ...]:
    """Read every group of `folder`; `upstreams` are the names that `sides` may use.

    Raises:
        ConfigInvalid: a file cannot be read or says something that cannot be meant.
    """
    routes: list[Route] = []
    groups: dict[str, str] = {}
    for path in route_files(folder):
        found = load_group(path, upstreams)
        group = found[0].group
        if group in groups:
            raise ConfigInvalid(
                f"cannot load routes: group {group!r} is in {groups[group]!r} and {path.name!r}"
            )
        groups[group] = path.name
        routes += found
    _refuse_duplicates(routes)
    RoutingTable.build(routes, (), 0)
    return tuple(routes)


def route_files(folder: Path) -> list[Path]:
    """Return the route files of a folder; raises `ConfigInvalid` when there are none."""
    files = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
    if not files:
        raise ConfigInvalid(
            f"cannot load routes: no *.yaml in {str(folder)!r}; write one file per route group"
        )
    return files


def load_group(path: Path, upstreams: Collection[str]) -> list[Route]:
    """Return the routes of one file; raises `ConfigInvalid` as `load_routes` does."""
    return read_group(path.name, _parse(path), upstreams, path.parent)


def read_group(
    name: str, tree: object, upstreams: Collection[str], folder: Path | None = None
) -> list[Route]:
    """Return the routes of one parsed file; `name` is the file's, for messages.

    `folder` is where files of keys are, which a route may name.

    Raises:
        ConfigInvalid: names the file, the place, and for an unknown key the nearest known one.
    """
    try:
        given = RouteFile.model_validate(tree)
    except ValidationError as exc:
        raise _wrong(name, _explain_all(tree, exc)) from exc
    problems = _unknown_upstreams(given, upstreams)
    routes = []
    for entry in given.routes:
        try:
            route = _route(given, entry, folder)
            if len(route.upstreams) > 1:
                entry.refuse_unsaid()
            for section_name in RouteSections.model_fields:
                section = getattr(entry, section_name)
                if isinstance(section, Section):
                    section.refuse_misfit(route)
        except ValueError as exc:
            problems.append(f"route {entry.route_id!r} {exc}")
        else:
            routes.append(route)
    if problems:
        raise _wrong(name, problems)
    return routes


def _parse(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        parsed: object = load_strictly(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as exc:
        words = " ".join(str(exc).split())
        raise ConfigInvalid(f"cannot load routes {path.name!r}: {words}") from exc
    return parsed


def _refuse_duplicates(routes: Iterable[Route]) -> None:
    seen: dict[str, Route] = {}
    for route in routes:
        twin = seen.setdefault(route.route_id, route)
        if twin is not route:
            raise ConfigInvalid(
                f"cannot load routes: id {route.route_id!r} is used in groups {twin.group!r} and"
                f" {route.group!r}; a route's id must be unique"
            )


def _unknown_upstreams(given: RouteFile, upstreams: Collection[str]) -> list[str]:
    known = ", ".join(repr(upstream) for upstream in sorted(upstreams)) or "none"
    return [
        f"side {side.value!r} names upstream {name!r}, which is not configured; known are {known}"
        for side, name in given.sides.items()
        if name not in upstreams
    ]


def _route(given: RouteFile, entry: RouteEntry, folder: Path | None) -> Route:
    return Route(
        route_id=entry.route_id,
        group=given.group,
        methods=tuple(method.encode("ascii") for method in entry.methods or ()),
        path=entry.path,
        writes=bool(entry.writes),
        key=None if entry.key is None else entry.key.rule(_token_keys(entry.key, folder)),
        ids=entry.ids.rules(),
        upstreams=dict(given.sides),
        header_test=entry.header_test(),
        cohort_salt=given.cohort_salt or given.group,
        samples=entry.samples,
        api=_documents(entry.comparison, folder),
        **{name: getattr(entry, name) for name in RouteSections.model_fields},
    )


def _token_keys(key: KeyEntry, folder: Path | None) -> TokenKeys | None:
    if key.verified_by is None:
        return None
    try:
        content = b"" if folder is None else (folder / key.verified_by).read_bytes()
    except OSError as exc:
        raise ValueError(
            f"'key.verified_by' names {key.verified_by!r}, which cannot be read: {exc.strerror};"
            " put it beside the route files"
        ) from exc
    try:
        return TokenKeys.parse(content)
    except ValueError as exc:
        raise ValueError(f"'key.verified_by' names {key.verified_by!r}, which {exc}") from exc


def _documents(rules: ComparisonRules, folder: Path | None) -> ApiDocuments | None:
    given = rules.openapi
    if given is None:
        return None
    if isinstance(given, DocumentPaths):
        return ApiDocuments(
            legacy=_document(given.legacy, folder), modern=_document(given.modern, folder)
        )
    both = _document(given, folder)
    return ApiDocuments(legacy=both, modern=both)


def _document(name: str, folder: Path | None) -> ApiDocument:
    try:
        content = b"" if folder is None else (folder / name).read_bytes()
    except OSError as exc:
        raise ValueError(
            f"'comparison.openapi' names {name!r}, which cannot be read: {exc.strerror};"
            " put it into the folder 'openapi' beside the route files"
        ) from exc
    try:
        return ApiDocument.parse(name, content)
    except DocumentFaultError as exc:
        raise ValueError(f"'comparison.openapi' names {name!r}, in which {exc}") from exc


def _explain_all(tree: object, exc: ValidationError) -> list[str]:
    errors = exc.errors(include_url=False, include_input=False)
    # What is wrong in the defaults is wrong in every route that takes them.
    of_defaults = [error for error in errors if error["loc"][:1] == ("defaults",)]
    return [_explain(tree, error) for error in of_defaults or errors]


def _explain(tree: object, error: ErrorDetails) -> str:
    """Return one error of a file in words: where it is, why, and what to do."""
    where = tuple(part for part in error["loc"] if part != "[key]")
    words = reason(error)
    if error["type"] == "extra_forbidden":
        known = known_keys(RouteFile, where[:-1])
        words = f"is unknown; {hint(str(where[-1]), known)}"
    return f"{_place(tree, where)} {words}"


def _place(tree: object, where: tuple[int | str, ...]) -> str:
    """Return a place as a person would name it: `route 'order-read', 'key.path'`."""
    names = []
    if where[:1] == ("routes",) and len(where) > 1 and isinstance(where[1], int):
        names.append(_route_name(tree, where[1]))
        where = where[2:]
    if where:
        names.append(repr(".".join(str(part) for part in where)))
    return " ".join(names) or "the file"


def _route_name(tree: object, index: int) -> str:
    entries = tree.get("routes") if isinstance(tree, dict) else None
    entry = entries[index] if isinstance(entries, list) else None
    route_id = entry.get("id") if isinstance(entry, dict) else None
    return f"route {route_id!r}" if isinstance(route_id, str) else f"route {index + 1}"


def _wrong(name: str, problems: list[str]) -> ConfigInvalid:
    return ConfigInvalid(f"cannot load routes {name!r}: {'; '.join(problems)}")
