"""The texts that tie a bundle together: manifest, and the two notes that are signed. Pure."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson

from bridge.eventlog.exporting.bundle_file import FileFacts

FORMAT: Final = "legacy-bridge-export"
VERSION: Final = 2

# No log can have these as its origin, as they hold spaces.
MANIFEST_TITLE: Final = "legacy-bridge export manifest v2"
TRAILER_TITLE: Final = "legacy-bridge export trailer v2"


def manifest_bytes(told: Mapping[str, Any], files: Mapping[str, FileFacts]) -> bytes:
    """Return `manifest.json`: what is `told` of the export, and of each file."""
    described = {path: facts.as_json() for path, facts in files.items()}
    return (
        orjson.dumps(
            {"format": FORMAT, "version": VERSION, **told, "files": described},
            option=orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2,
        )
        + b"\n"
    )


def manifest_text(manifest: bytes) -> str:
    """Return the text of `manifest.note`."""
    return f"{MANIFEST_TITLE}\n{len(manifest)}\n{sha256(manifest).hexdigest()}\n"


def trailer_text(manifest: bytes, files: Mapping[str, FileFacts]) -> str:
    """Return the text of `trailer.note`."""
    counts = (len(files), files["leaves.jsonl"].records, files["payloads.jsonl"].records)
    digest = sha256(manifest).hexdigest()
    return "".join(f"{line}\n" for line in (TRAILER_TITLE, digest, *counts))
