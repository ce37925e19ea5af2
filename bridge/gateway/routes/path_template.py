"""Path templates: literal segments, `{name}` for one segment, a last `{name...}` for the rest."""

import re
from typing import Final

_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,=:@-]*|\{[A-Za-z_][A-Za-z0-9_]*(\.\.\.)?\}")


def parameters(path: str) -> tuple[str, ...]:
    """Return the parameter names of a template, in their order."""
    return tuple(
        part[1:-1].removesuffix("...") for part in path.split("/")[1:] if part.startswith("{")
    )


def check_template(path: str) -> str:
    """Return `path`; raises `ValueError` when it is no template."""
    if not path.startswith("/"):
        raise ValueError("is not a template that begins with '/'")
    parts = path.split("/")[1:]
    for index, part in enumerate(parts):
        if _SEGMENT.fullmatch(part) is None or part in (".", ".."):
            raise ValueError(f"has segment {part!r} in its path; use literal text or {{name}}")
        if part.endswith("...}") and index + 1 < len(parts):
            raise ValueError(f"goes on after {part!r}, which takes the rest")
    names = parameters(path)
    if len(set(names)) != len(names):
        raise ValueError("names a path parameter twice")
    return path
