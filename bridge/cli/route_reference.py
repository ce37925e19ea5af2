"""Every key of a route file as a table, made of what editors are told about them."""

from collections.abc import Iterator, Mapping
from typing import Any

_HEAD = """# Keys of route files

Every key that a file in `routes/` may have, with its default, as
`legacy-bridge routes schema --markdown` prints them. How to write routes, and what the keys are
for, stands in [routes.md](routes.md). `NAME` stands for a name of your own.

| key | default | |
|---|---|---|
"""


def reference(schema: Mapping[str, Any]) -> str:
    """Return the table for the JSON Schema of a route file."""
    shared = set(schema["$defs"]["RouteSections"]["properties"])
    kinds = _kinds(schema)
    rows: dict[str, tuple[str, str]] = {}
    for key, default, words in _rows(schema, schema, "", ()):
        # What holds for all routes of a file is told once, with the routes; what several kinds of
        # rules have, with the first of them.
        if not key.startswith("defaults."):
            rows.setdefault(key, (default, words))
    lines = []
    for key, (default, words) in rows.items():
        if key.endswith(".rules[].kind"):
            words = f"One of {kinds}."
        name = key.removeprefix("routes[].")
        if key.startswith("routes[].") and name.split(".")[0].split("[")[0] in shared:
            words = f"{words} *Also under `defaults`.*" if "." not in name else words
        lines.append(f"| `{key}` | {default} | {words} |\n")
    return _HEAD + "".join(lines)


def _kinds(schema: Mapping[str, Any]) -> str:
    """Return the kinds of comparison rules."""
    consts = (
        each["properties"].get("kind", {}).get("const")
        for each in schema["$defs"].values()
        if "properties" in each
    )
    return ", ".join(f"`{const}`" for const in consts if const)


def _rows(
    schema: Mapping[str, Any], node: Mapping[str, Any], path: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str, str]]:
    for name, field in node.get("properties", {}).items():
        key = f"{path}{name}"
        yield key, _default(field), _words(schema, field)
        for suffix, ref in _below(field):
            if ref not in above:  # A section that holds itself would have no end.
                yield from _rows(schema, schema["$defs"][ref], f"{key}{suffix}.", (*above, ref))


def _below(field: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the sections that a field holds, and how its key goes on there."""
    if "$ref" in field:
        yield "", field["$ref"].rpartition("/")[2]
    for inner in (*field.get("anyOf", ()), *field.get("oneOf", ()), *field.get("allOf", ())):
        yield from _below(inner)
    if isinstance(field.get("items"), dict):
        for suffix, ref in _below(field["items"]):
            yield f"[]{suffix}", ref
    if isinstance(field.get("additionalProperties"), dict):
        for suffix, ref in _below(field["additionalProperties"]):
            yield f".NAME{suffix}", ref


def _default(field: Mapping[str, Any]) -> str:
    default = field.get("default")
    if default is None or default in ({}, []) or isinstance(default, dict):
        return ""
    shown = {True: "true", False: "false"}.get(default) if isinstance(default, bool) else default
    if isinstance(shown, list):
        shown = ", ".join(map(str, shown))
    return f"`{shown}`"


def _words(schema: Mapping[str, Any], field: Mapping[str, Any]) -> str:
    words = field.get("description", "")
    refs = [ref for _, ref in _below(field)]
    if not words and refs:
        words = schema["$defs"][refs[0]].get("description", "").partition("\n\n")[0]
    enums = [schema["$defs"][ref].get("enum") for ref in refs]
    if refs and enums[0]:
        words = f"{words} One of {', '.join(f'`{value}`' for value in enums[0])}."
    return " ".join(words.split()).replace("|", "\\|")
