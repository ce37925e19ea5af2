"""The key behind tokens that force a side: one file, made when it is first needed."""

from pathlib import Path
from typing import Final

from bridge.gateway.dual.side_tokens import KEY_BYTES, SideTokens
from bridge.model.errors import ConfigInvalid
from bridge.runtime.wiring.private_key import made_key

KEY_FILE: Final = "keys/side-tokens.key"
"""Below `data_dir`; machines of one deployment have the same."""


def load_side_tokens(path: Path) -> SideTokens:
    """Return the tokens by the key at `path`; a missing key is made, with mode 0600.

    Raises:
        ConfigInvalid: the file cannot be used, others may read it, or it holds no key.
    """
    key = made_key(path, "key of side tokens", KEY_BYTES)
    try:
        return SideTokens(key)
    except ValueError as exc:
        raise ConfigInvalid(
            f"cannot use key of side tokens {str(path)!r}: {exc}; remove it, and a new one is "
            "made: tokens that testers have are then not believed any more"
        ) from exc
