"""A disk that is really full: appends stop with a clear error, and go on when there is room."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# A mount that only this process and its children see; without root by a user namespace.
NAMESPACE = ("unshare", "--user", "--map-current-user", "--keep-caps", "--mount")
ROOT_NAMESPACE = ("unshare", "--mount")


def on_a_small_disk(kind: str, folder: Path) -> dict[str, str]:
    namespace = ROOT_NAMESPACE if os.getuid() == 0 else NAMESPACE
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.eventlog.faults.full_disk", kind, str(folder)],
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_appends_stop_and_go_on(kind: str, server_folder: Path) -> None:
    told = on_a_small_disk(kind, server_folder)
    assert "cannot append to event log" in told["said"]
    assert "free space on" in told["said"]
    assert "appends resume by themselves" in told["said"]
    assert int(told["appended"]) > 500
