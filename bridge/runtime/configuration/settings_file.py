"""Read the settings file and the environment; say clearly what is wrong with either."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from bridge.contracts.refusals import hint, known_keys
from bridge.contracts.strict_yaml import load_strictly
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.gateway_settings import anchored
from bridge.runtime.configuration.settings import SOURCE_KINDS, Settings

ENV_PREFIX = "BRIDGE_"

# Larger is not a settings file; it guards against pointing at the wrong file.
FILE_BYTES_MAX = 1_000_000

_PATH_KEYS = (
    ("data_dir",),
    ("event_log", "publish_dir"),
    ("contracts", "dir"),
    ("contracts", "protection_key_file"),
)


def load_settings(path: Path, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings of `path` with the environment over them.

    Raises:
        ConfigInvalid: names the file, the key and, for an unknown key, the nearest known one.
    """
    tree = _read(path)
    sources = _overlay(tree, os.environ if environ is None else environ)
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as exc:
        raise ConfigInvalid(_explain(path, exc, sources)) from exc
    return _anchored(settings, path.resolve().parent)


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise ConfigInvalid(
                f"cannot read config {str(path)!r}: it has more than {FILE_BYTES_MAX} bytes; "
                "is it the settings file?"
            )
        tree = load_strictly(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigInvalid(
            f"cannot read config {str(path)!r}: no such file; name one with --config"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigInvalid(f"cannot read config {str(path)!r}: {exc}") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or "not YAML"
        raise ConfigInvalid(f"cannot read config {str(path)!r}:{where} {problem}") from exc
    except (ValueError, RecursionError) as exc:  # The YAML reader's own, e.g. for 2024-13-45.
        raise ConfigInvalid(
            f"cannot read config {str(path)!r}: a value in it is no date, no number or nested too "
            "deep; put it in quotes"
        ) from exc
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigInvalid(f"cannot read config {str(path)!r}: expected a mapping of keys")
    return tree


def _overlay(tree: dict[str, Any], environ: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Write the environment's values into `tree`; return which key came from which variable."""
    origins: dict[tuple[str, ...], str] = {}
    for name, text in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX):
            continue
        keys = tuple(name[len(ENV_PREFIX) :].lower().split("__"))
        node = tree
        for key in keys[:-1]:
            below = node.get(key)
            if below is None:
                below = node[key] = {}
            if not isinstance(below, dict):
                raise ConfigInvalid(f"cannot apply {name}: {key!r} is not a section of the file")
            node = below
        node[keys[-1]] = _parsed(name, text)
        origins[keys] = name
    return origins


def _parsed(name: str, text: str) -> Any:
    """Return a list or a section as such; every other text stays text until it is validated."""
    if not text.startswith(("[", "{")):
        return text
    try:
        return load_strictly(text)
    except yaml.YAMLError as exc:
        raise ConfigInvalid(
            f"cannot apply {name}: it begins like a list or a section, but is not YAML; "
            "put a text that begins so in quotes"
        ) from exc


def _explain(path: Path, exc: ValidationError, origins: dict[tuple[str, ...], str]) -> str:
    problems = []
    for error in exc.errors(include_url=False, include_input=False):
        where, kind = _without_kind(tuple(str(part) for part in error["loc"] if part != "[key]"))
        dotted = ".".join(where)
        origin = origins.get(where)
        said = f" (from {origin})" if origin else ""
        if error["type"] == "extra_forbidden":
            todo = hint(where[-1], sorted(_known_keys(where[:-1], kind)))
            problems.append(f"unknown key {dotted!r}{said}; {todo}")
        elif error["type"] == "missing":
            variable = ENV_PREFIX + "__".join(where).upper()
            problems.append(f"{dotted!r} is missing; set it there or in environment {variable}")
        elif error["type"] == "union_tag_invalid":
            problems.append(f"'{dotted}.kind' must be one of {', '.join(SOURCE_KINDS)}")
        else:
            problems.append(f"{dotted!r}{said}: {error['msg'].lower()}")
    return f"cannot use config {str(path)!r}: " + "; ".join(problems)


def _without_kind(where: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """Return a place without the kind of source that pydantic puts into it, and that kind."""
    if where[:1] == ("sources",) and len(where) > 2 and where[2] in SOURCE_KINDS:
        return (*where[:2], *where[3:]), where[2]
    return where, "postgres"


def _known_keys(where: tuple[str, ...], kind: str) -> list[str]:
    model: type[BaseModel] = Settings
    if where[:1] == ("sources",) and len(where) > 1:
        model, where = SOURCE_KINDS[kind], where[2:]
    return known_keys(model, where)


def _anchored(settings: Settings, base: Path) -> Settings:
    """Make the relative paths of the file absolute."""
    tree = settings.model_copy()
    for keys in _PATH_KEYS:
        parent: Any = tree
        for key in keys[:-1]:
            parent = getattr(parent, key)
        if parent is None:
            continue
        path = getattr(parent, keys[-1])
        if path is None:
            continue
        value = base / path
        changed = parent.model_copy(update={keys[-1]: value})
        tree = changed if len(keys) == 1 else tree.model_copy(update={keys[0]: changed})
    stamps = {
        name: each
        if each.ca_file is None
        else each.model_copy(update={"ca_file": base / each.ca_file})
        for name, each in tree.event_log.timestamps.items()
    }
    event_log = tree.event_log.model_copy(update={"timestamps": stamps})
    gateway = None if tree.gateway is None else anchored(tree.gateway, base)
    return tree.model_copy(update={"event_log": event_log, "gateway": gateway})
