"""The tree of an OpenAPI document: its version, its references, and where something is wrong.

OpenAPI Specification 3.0.4 and 3.1.1. A place in a document is a JSON pointer (RFC 6901).
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

import orjson
import yaml

from bridge.contracts.strict_yaml import StrictLoader

# A document of a whole company is below five; reading one of that size as YAML takes seconds.
BYTES_MAX: Final = 5 * 1024 * 1024
# A reference to a reference …: a document that goes on for longer turns in circles.
_HOPS_MAX: Final = 16


class DocumentFaultError(ValueError):
    """A document cannot be used; says where, and why."""

    def __init__(self, pointer: str, why: str) -> None:
        super().__init__(f"{pointer or '/'} {why}")
        self.pointer = pointer


class _YamlLoader(StrictLoader):
    """YAML whose keys are texts and whose dates are none, as JSON has them."""


_YamlLoader.yaml_implicit_resolvers = {
    first: [pair for pair in pairs if pair[0] != "tag:yaml.org,2002:timestamp"]
    for first, pairs in StrictLoader.yaml_implicit_resolvers.items()
}


class Tree:
    """A parsed document."""

    def __init__(self, content: bytes) -> None:
        """Read JSON or YAML.

        Raises:
            DocumentFaultError: it is neither, too large, or of another version.
        """
        if len(content) > BYTES_MAX:
            raise DocumentFaultError("", f"has {len(content)} bytes; at most {BYTES_MAX} are taken")
        root = _parsed(content)
        if not isinstance(root, dict):
            raise DocumentFaultError("", "is no object")
        version = root.get("openapi")
        if not isinstance(version, str) or not version.startswith(("3.0.", "3.1.")):
            raise DocumentFaultError("/openapi", "is neither 3.0.x nor 3.1.x")
        self.root: Mapping[str, Any] = root
        self.is_30 = version.startswith("3.0.")

    def object_at(self, value: object, pointer: str) -> Mapping[str, Any]:
        """Return `value`, which must be an object; one that is not there is empty."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise DocumentFaultError(pointer, "is no object")
        return value

    def resolved(self, value: object, pointer: str) -> tuple[Any, str]:
        """Return what a reference leads to, and where that stands; else `value` itself."""
        for _ in range(_HOPS_MAX):
            if not isinstance(value, dict) or "$ref" not in value:
                return value, pointer
            value, pointer = self.target(value["$ref"], pointer)
        raise DocumentFaultError(pointer, "is a reference that leads in circles")

    def target(self, reference: object, pointer: str) -> tuple[Any, str]:
        """Return what stands at a reference, which is at `pointer`, and where that is."""
        if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
            raise DocumentFaultError(
                f"{pointer}/$ref",
                "does not begin with '#/': it leads out of the document, or to an anchor; bundle"
                " the document into one file first",
            )
        found: Any = self.root
        for token in unquote(reference[1:]).split("/")[1:]:
            name = token.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict) and name in found:
                found = found[name]
            elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
                found = found[int(name)]
            else:
                raise DocumentFaultError(
                    f"{pointer}/$ref", f"leads to {reference!r}, which is not there"
                )
        return found, reference[1:]

    def members(self, value: object, pointer: str) -> Iterator[tuple[str, Any, str]]:
        """Yield name, value and place of each member of a map, where `x-` begins any name."""
        for name, member in self.object_at(value, pointer).items():
            yield name, member, below(pointer, name)

    def fixed(self, value: object, pointer: str) -> Iterator[tuple[str, Any, str]]:
        """Yield the same of an object where names with `x-` are extensions, which mean nothing."""
        for name, member, at in self.members(value, pointer):
            if not name.startswith("x-"):
                yield name, member, at


def below(pointer: str, name: str | int) -> str:
    """Return the place of a member."""
    return f"{pointer}/{str(name).replace('~', '~0').replace('/', '~1')}"


def _parsed(content: bytes) -> Any:
    try:
        if content.lstrip()[:1] == b"{":
            return orjson.loads(content)
        return _text_keys(yaml.load(content.decode("utf-8"), Loader=_YamlLoader))  # noqa: S506 - it is a SafeLoader.
    except (yaml.YAMLError, ValueError, RecursionError) as exc:
        words = " ".join(str(exc).split())
        raise DocumentFaultError("", f"is neither JSON nor YAML: {words}") from exc


def _text_keys(value: Any) -> Any:
    """Return `value` with the names that JSON would have: a status is a number to YAML."""
    if isinstance(value, dict):
        return {
            key if isinstance(key, str) else _name(key): _text_keys(member)
            for key, member in value.items()
        }
    if isinstance(value, list):
        return [_text_keys(item) for item in value]
    return value


def _name(key: object) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)
