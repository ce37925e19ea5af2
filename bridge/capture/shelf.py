"""Keep what is too large for the cursor: the cursor then holds a digest.

The cursor is written with every batch, so it must stay small; the shapes of all tables, or what
the catalog said about them, may have a megabyte and change once a month. They lie in a record of
their own beside the cursor, by digest, put there *before* the commit that first names it: whichever
digest the durable cursor holds after a crash, its text is there.
"""

import hashlib
import json
from typing import Final

from bridge.capture.ports import CaptureLog
from bridge.model.entry import CursorMove
from bridge.model.errors import LogCorrupt

# The digest in the durable cursor is the newest or, after a crash, one of the few before it.
_TEXTS_MAX: Final = 4


class Shelf:
    """The last texts of one kind, each under its digest. One thread uses it."""

    def __init__(self, log: CaptureLog, source: str, what: str) -> None:
        self._log = log
        # A source's name has no `#`: no cursor of a source is ever called so.
        self._name = f"{source}#{what}"

    def load(self, digest: str) -> str | None:
        """Return the text with this digest, or None when it is not here."""
        return self._texts().get(digest)

    def store(self, text: str) -> str:
        """Make `text` durable and return its digest; the oldest of a few texts goes."""
        stored = self._log.cursor(self._name)
        texts = _parse(stored.state) if stored else {}
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        texts.pop(digest, None)
        texts[digest] = text
        kept = dict(list(texts.items())[-_TEXTS_MAX:])
        move = CursorMove(self._name, stored.version if stored else 0, json.dumps(kept).encode())
        self._log.append((), cursor=move)
        return digest

    def _texts(self) -> dict[str, str]:
        stored = self._log.cursor(self._name)
        return _parse(stored.state) if stored else {}


def _parse(state: bytes) -> dict[str, str]:
    try:
        texts = json.loads(state)
        if isinstance(texts, dict):
            return texts
    except ValueError:
        pass
    raise LogCorrupt(f"cannot read a source's record: not a JSON object in {len(state)} bytes")
