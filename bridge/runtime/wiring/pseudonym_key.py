"""The key behind pseudonyms in leaves: one file, made at the first start, kept for life."""

from pathlib import Path

from bridge.model.errors import ConfigInvalid
from bridge.model.pseudonym import KEY_BYTES, Pseudonyms
from bridge.runtime.wiring.private_key import made_key


def load_pseudonyms(path: Path) -> Pseudonyms:
    """Return the pseudonyms of the key at `path`; a missing key is made, with mode 0600.

    Raises:
        ConfigInvalid: the file cannot be used, others may read it, or it holds no key.
    """
    key = made_key(path, "pseudonym key", KEY_BYTES)
    try:
        return Pseudonyms(key)
    except ValueError as exc:
        raise ConfigInvalid(
            f"cannot use pseudonym key {str(path)!r}: {exc}; restore it from the backup of the "
            "data folder: with another key, entities that are in the log already get other names"
        ) from exc
