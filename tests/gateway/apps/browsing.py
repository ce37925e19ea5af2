"""Let a scripted browser use an application, and return what it saw."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from bridge.demo.servers.packages import install
from tests.gateway.apps.programs import PASSWORD, USER
from tests.gateway.foreign.installed import python_with

_PEER = Path(__file__).parent / "peers" / "browser_peer.py"
_SCREENS = Path("build/apps/screens")
_DEADLINE_S = 180


def browsed(app: str, base: str, name: str) -> dict[str, Any]:
    """Return what the browser saw; pictures of it are in `build/apps/screens`."""
    if shutil.which("chromium") is None:
        install(["chromium"])
    _SCREENS.mkdir(parents=True, exist_ok=True)
    python = python_with("playwright==1.65.2")
    done = subprocess.run(
        [str(python), str(_PEER), app, base, str(_SCREENS / f"{app}-{name}"), USER, PASSWORD],
        capture_output=True, text=True, check=False, timeout=_DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen
