"""Where contracts, routes and the example settings are: in a checkout, or inside the wheel."""

from pathlib import Path

import bridge

_PACKAGE = Path(bridge.__file__).resolve().parent


def data_root() -> Path:
    """Return the folder that holds `contracts/`, `routes/` and `config/`."""
    installed = _PACKAGE / "data"
    return installed if installed.is_dir() else _PACKAGE.parent
