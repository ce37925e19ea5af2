"""What a role loads: each import that it does not need costs every start, and memory in each."""

import json
import subprocess
import sys

import pytest

_LOADED = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def loaded(*names: str) -> set[str]:
    """Return what is loaded in a process that imports these modules."""
    argv = [sys.executable, "-c", _LOADED, *names]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("modules", "not_needed"),
    [
        (
            # `up` and `run`: the supervisor, and what each role begins with.
            ["bridge.cli.main", "bridge.cli.roles"],
            ["rich", "psycopg", "jsonschema", "cryptography.x509",
             "bridge.storage.journal.postgres",
             "bridge.gateway.comparison.desk", "bridge.gateway.plane", "bridge.capture.service"],
        ),
        (
            ["bridge.cli.roles", "bridge.runtime.roles.gateway"],
            ["rich", "psycopg", "jsonschema", "apscheduler", "bridge.eventlog.history",
             "bridge.contracts.contract_set", "bridge.gateway.reconciliation.patrol"],
        ),
        (
            ["bridge.cli.roles", "bridge.runtime.roles.replay", "bridge.runtime.roles.log"],
            ["rich", "psycopg", "pika", "bridge.capture.service"],
        ),
    ],
    ids=["supervisor", "worker", "replay-and-log"],
)  # fmt: skip
def test_a_role_loads_what_it_needs(modules: list[str], not_needed: list[str]) -> None:
    found = loaded(*modules)
    # Neither the console API, nor polling, nor what has an extra of its own.
    never = {"fastapi", "uvicorn", "sqlalchemy", "opentelemetry", "pyarrow"}
    assert not found & {*not_needed, *never}
