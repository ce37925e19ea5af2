"""The key behind tokens of clients' writes: one file, made at the first start."""

from pathlib import Path
from typing import Final

from bridge.gateway.dual.write_tokens import KEY_BYTES, WriteTokens
from bridge.model.errors import ConfigInvalid
from bridge.model.observer import Observer
from bridge.runtime.wiring.private_key import made_key

KEY_FILE: Final = "keys/write-tokens.key"
"""Below `data_dir`; machines of one deployment have the same."""


def load_write_tokens(path: Path, observer: Observer) -> WriteTokens:
    """Return the tokens by the key at `path`; a missing key is made, with mode 0600.

    Raises:
        ConfigInvalid: the file cannot be used, others may read it, or it holds no key.
    """
    key = made_key(path, "key of write tokens", KEY_BYTES)
    try:
        return WriteTokens(key, observer=observer)
    except ValueError as exc:
        raise ConfigInvalid(
            f"cannot use key of write tokens {str(path)!r}: {exc}; remove it, and a new one is "
            "made: tokens that clients have are then not believed any more"
        ) from exc
