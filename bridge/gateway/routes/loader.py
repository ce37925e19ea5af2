"""Load `routes/*.yaml`: one route group per file, strictly."""

import re
from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import yaml

from bridge.contracts.strict_yaml import load_strictly
from bridge.gateway.http.fields import is_token
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.table import RoutingTable, parameters
from bridge.model.errors import ConfigInvalid
from bridge.model.stage import Side

# Large enough for uploads of documents; a journalled body is held in memory up to this size.
BODY_BYTES_MAX_DEFAULT: Final = 16 * 1024 * 1024
TIMEOUT_MS_DEFAULT: Final = 30_000

_SAFE: Final = frozenset((b"GET", b"HEAD", b"OPTIONS"))
_FILE_KEYS: Final = ("group", "sides", "routes")
_ROUTE_KEYS: Final = (
    "id", "methods", "path", "host", "writes", "key", "ids", "body_bytes_max", "timeout_ms",
    "server_error_in_doubt",
)  # fmt: skip
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@-]*|\{[A-Za-z_][A-Za-z0-9_]*(\.\.\.)?\}")
_HOST: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")


def load_routes(folder: Path, upstreams: Collection[str]) -> tuple[Route, ...]:
    """Read every group of `folder`; `upstreams` are the names that `sides` may use.

    Raises:
        ConfigInvalid: a file cannot be read or says something that cannot be meant.
    """
    files = sorted(path for path in folder.glob("*.y*ml") if path.suffix in (".yaml", ".yml"))
    if not files:
        raise ConfigInvalid(
            f"cannot load routes: no *.yaml in {str(folder)!r}; write one file per route group"
        )
    routes: list[Route] = []
    groups: dict[str, str] = {}
    for path in files:
        found = _Reader(path.name, upstreams).file(_read(path))
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


def _read(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        parsed: object = load_strictly(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        reason = " ".join(str(exc).split())
        raise ConfigInvalid(f"cannot load routes {path.name!r}: {reason}") from exc
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


class _Reader:
    """Turns one parsed file into routes; every message names the file and the place in it."""

    def __init__(self, name: str, upstreams: Collection[str]) -> None:
        self._name = name
        self._upstreams = upstreams

    def file(self, parsed: object) -> list[Route]:
        top = self._mapping(parsed, "the file", _FILE_KEYS)
        group = self._text(top, "group", "the file", _NAME)
        sides = self._sides(top.get("sides"))
        entries = top.get("routes")
        if not isinstance(entries, list) or not entries:
            raise self._wrong("'routes' is not a list with at least one route")
        return [self._route(entry, index, group, sides) for index, entry in enumerate(entries)]

    def _sides(self, given: object) -> dict[Side, str]:
        names = self._mapping(given, "'sides'", tuple(side.value for side in Side))
        sides = {Side(side): name for side, name in names.items()}
        if Side.LEGACY not in sides:
            raise self._wrong("'sides' names no upstream for 'legacy'")
        for side, name in sides.items():
            if name not in self._upstreams:
                known = ", ".join(repr(upstream) for upstream in sorted(self._upstreams))
                raise self._wrong(
                    f"side {side.value!r} names upstream {name!r}, which is not configured;"
                    f" known are {known or 'none'}"
                )
        return {side: str(name) for side, name in sides.items()}

    def _route(self, entry: object, index: int, group: str, sides: dict[Side, str]) -> Route:
        where = f"route {index + 1}"
        given = self._mapping(entry, where, _ROUTE_KEYS)
        route_id = self._text(given, "id", where, _NAME)
        where = f"route {route_id!r}"
        path = self._path(given, where)
        methods = self._methods(given.get("methods"), where)
        writes = self._writes(
            self._flag(given, "writes", where), methods, where, two_sides=len(sides) > 1
        )
        key = self._key(given.get("key"), path, where)
        if writes and len(sides) > 1 and key is None:
            raise self._wrong(
                f"{where} writes in a group with two sides and has no 'key'; say where the id of"
                " the data stands, e.g. key: {path: order_id}"
            )
        return Route(
            route_id=route_id,
            group=group,
            methods=methods,
            path=path,
            host=self._text(given, "host", where, _HOST) if "host" in given else None,
            writes=writes,
            key=key,
            ids=self._ids(given.get("ids"), path, where),
            upstreams=sides,
            body_bytes_max=self._count(given, "body_bytes_max", BODY_BYTES_MAX_DEFAULT, where),
            timeout_ms=self._count(given, "timeout_ms", TIMEOUT_MS_DEFAULT, where),
            server_error_in_doubt=self._flag(given, "server_error_in_doubt", where) or False,
        )

    def _path(self, given: Mapping[str, object], where: str) -> str:
        path = given.get("path")
        if not isinstance(path, str) or not path.startswith("/"):
            raise self._wrong(f"{where} needs 'path', a template that begins with '/'")
        parts = path.split("/")[1:]
        for index, part in enumerate(parts):
            if _SEGMENT.fullmatch(part) is None or part in (".", ".."):
                raise self._wrong(
                    f"{where} has segment {part!r} in its path; use literal text or {{name}}"
                )
            if part.endswith("...}") and index + 1 < len(parts):
                raise self._wrong(f"{where} goes on after {part!r}, which takes the rest")
        names = parameters(path)
        if len(set(names)) != len(names):
            raise self._wrong(f"{where} names a path parameter twice")
        return path

    def _methods(self, given: object, where: str) -> tuple[bytes, ...]:
        """No `methods` at all means every method."""
        if given is None:
            return ()
        if not isinstance(given, list) or not given:
            raise self._wrong(f"'methods' of {where} is not a list, e.g. [GET, POST]")
        methods = []
        for name in given:
            if not isinstance(name, str) or not is_token(name.encode()) or name != name.upper():
                raise self._wrong(f"{where} has method {name!r}; methods are upper-case names")
            methods.append(name.encode("ascii"))
        if len(set(methods)) != len(methods):
            raise self._wrong(f"{where} names a method twice")
        return tuple(methods)

    def _writes(
        self, given: bool | None, methods: tuple[bytes, ...], where: str, *, two_sides: bool
    ) -> bool:
        unsafe = not methods or not _SAFE.issuperset(methods)
        if two_sides and unsafe and given is None:
            raise self._wrong(
                f"{where} takes methods that may change data and does not say 'writes: true' or"
                " 'writes: false'; a write that is not journalled is lost on the other side"
            )
        if given and (not methods or _SAFE.intersection(methods)):
            raise self._wrong(f"{where} writes with a method that only reads; split it in two")
        return bool(given)

    def _key(self, given: object, path: str, where: str) -> KeyRule | None:
        if given is None:
            return None
        places = tuple(place.value for place in KeyPlace)
        rule = self._mapping(given, f"'key' of {where}", (*places, "entity"))
        chosen = [place for place in places if place in rule]
        if len(chosen) != 1:
            raise self._wrong(f"'key' of {where} needs one place out of {', '.join(places)}")
        place = KeyPlace(chosen[0])
        name = self._text(rule, place.value, f"'key' of {where}")
        if place is KeyPlace.PATH and name not in parameters(path):
            raise self._wrong(f"'key' of {where} names {name!r}, which is not in its path")
        if place in (KeyPlace.JSON, KeyPlace.CREATED):
            self._pointer(name, where)
        entity = (
            self._text(rule, "entity", f"'key' of {where}", _NAME) if "entity" in rule else None
        )
        return KeyRule(place=place, name=name, entity=entity)

    def _ids(self, given: object, path: str, where: str) -> IdRules:
        if given is None:
            return IdRules()
        rules = self._mapping(given, f"'ids' of {where}", ("path", "request", "response"))
        found: dict[str, dict[str, str]] = {}
        for part, names in rules.items():
            inner = f"'ids.{part}' of {where}"
            if not isinstance(names, dict):
                raise self._wrong(f"{inner} is not a mapping of places to entities")
            for place, entity in names.items():
                if not isinstance(entity, str) or _NAME.fullmatch(entity) is None:
                    raise self._wrong(f"{inner} has entity {entity!r}, which is not a name")
                if part != "path":
                    self._pointer(place, where)
                elif place not in parameters(path):
                    raise self._wrong(f"{inner} names {place!r}, which is not in its path")
            found[part] = dict(names)
        return IdRules(**found)

    def _pointer(self, pointer: object, where: str) -> None:
        if not isinstance(pointer, str) or not pointer.startswith("/"):
            raise self._wrong(f"{where} has {pointer!r} for a JSON pointer, which begins with '/'")

    def _mapping(self, given: object, where: str, known: tuple[str, ...]) -> dict[str, object]:
        if not isinstance(given, dict):
            raise self._wrong(f"{where} is not a mapping with {', '.join(known)}")
        for key in given:
            if key not in known:
                near = get_close_matches(str(key), known, n=1, cutoff=0.0)
                raise self._wrong(f"{where} has unknown key {key!r}; nearest known is {near[0]!r}")
        return given

    def _text(
        self,
        given: Mapping[str, object],
        key: str,
        where: str,
        form: re.Pattern[str] | None = None,
    ) -> str:
        text = given.get(key)
        if not isinstance(text, str) or not text:
            raise self._wrong(f"{where} needs {key!r}, a text")
        if form is not None and form.fullmatch(text) is None:
            raise self._wrong(
                f"{where} has {key} {text!r}, which is not of the form {form.pattern}"
            )
        return text

    def _flag(self, given: Mapping[str, object], key: str, where: str) -> bool | None:
        flag = given.get(key)
        if flag is not None and not isinstance(flag, bool):
            raise self._wrong(f"{key!r} of {where} is not true or false")
        return flag

    def _count(self, given: Mapping[str, object], key: str, default: int, where: str) -> int:
        count = given.get(key, default)
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise self._wrong(f"{where} has {key} {count!r}, which is not a positive number")
        return count

    def _wrong(self, what: str) -> ConfigInvalid:
        return ConfigInvalid(f"cannot load routes {self._name!r}: {what}")
