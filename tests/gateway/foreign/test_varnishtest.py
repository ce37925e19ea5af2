"""The gateway between varnishtest's client and server: an HTTP stack that we did not write."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from bridge.gateway.plane.settings import PlaneSettings
from tests.gateway.http.rig import Gateway

_SCRIPTS = sorted((Path(__file__).parent / "vtc").glob("*.vtc"))
_DEADLINE_S = 60


@pytest.mark.parametrize("script", _SCRIPTS, ids=lambda script: script.stem)
def test_script(script: Path, tmp_path: Path) -> None:
    program = shutil.which("varnishtest", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert program is not None, "varnishtest is not installed; run make test-servers"
    with socket.create_server(("127.0.0.1", 0)) as server:
        upstream: int = server.getsockname()[1]
    settings = PlaneSettings(name="gateway", drain_ms=1_000)
    with Gateway({"legacy": upstream, "modern": upstream}, settings=settings) as gateway:
        done = subprocess.run(
            [
                *(program, "-v", "-t", "20"),
                *(
                    "-D",
                    f"upstream=127.0.0.1:{upstream}",
                    "-D",
                    f"gateway=127.0.0.1:{gateway.port}",
                ),
                str(script),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=_DEADLINE_S,
            env={"PATH": os.environ.get("PATH", ""), "TMPDIR": str(tmp_path)},
        )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-1_000:]


def test_there_are_scripts() -> None:
    assert len(_SCRIPTS) >= 7
