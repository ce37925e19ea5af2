"""One deployment in a folder: settings, routes, data; and `legacy-bridge` as a process beside it.

Group `orders` has two sides, group `catalog` one. Nothing listens where its upstreams should be.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from bridge.cli.main import main
from bridge.demo.servers.ports import free_port
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

ROUTES = {
    "orders": """
group: orders
sides: {legacy: legacy-app, modern: modern-orders}
routes:
  - {id: order-create, methods: [POST], path: /orders, writes: true,
     key: {created: /order_id, entity: order}, ids: {response: {/order_id: order}}}
  - {id: order-status, methods: [PUT], path: "/orders/{order_id}/status", writes: true,
     key: {path: order_id, entity: order}, ids: {path: {order_id: order}}}
  - {id: order-read, methods: [GET], path: "/orders/{order_id}", ids: {path: {order_id: order}},
     reconcile: {entity: order, keys_per_s: 1000, wait_ms: 5, repair: {put: order-status}}}
""",
    "catalog": """
group: catalog
sides: {legacy: legacy-app}
routes: [{id: product-list, methods: [GET], path: /products}]
""",
}

COMMAND_WITHIN_S = 60


class Said(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return what a command with `--json` printed, which must be one document."""
        return json.loads(self.out)


class Deployment:
    """Settings, routes and data of one gateway."""

    def __init__(self, folder: Path, **sections: Any) -> None:
        self.folder = folder
        self.config = folder / "bridge.yaml"
        self.gateway_port = free_port()
        self.control_port = free_port()
        routes = folder / "routes"
        routes.mkdir(exist_ok=True)
        for name, text in ROUTES.items():
            (routes / f"{name}.yaml").write_text(text)
        self.settings: dict[str, Any] = {
            "data_dir": "data",
            "gateway": {
                "port": self.gateway_port,
                "workers": 1,
                "routes": "routes",
                "upstreams": {
                    "legacy-app": {"url": f"http://127.0.0.1:{free_port()}"},
                    "modern-orders": {"url": f"http://127.0.0.1:{free_port()}"},
                },
            },
            "control": {"port": self.control_port},
            **sections,
        }
        self.write()

    def write(self) -> None:
        """Write the settings file."""
        self.config.write_text(yaml.safe_dump(self.settings))

    @property
    def run_dir(self) -> Path:
        """Return where locks and run files are."""
        return self.folder / "data" / "run"

    def stores(self) -> Stores:
        """Return the stores of the data folder, to be closed by the caller."""
        return Stores(load_settings(self.config, {}))

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line of `legacy-bridge ARGUMENTS` on this deployment."""
        return [sys.executable, "-m", "bridge.cli", *arguments, "--config", str(self.config)]

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> Said:
        """Run a command to its end; none may end with a traceback."""
        return run(self.argv(*arguments), env)

    def call(self, *arguments: str) -> Said:
        """Run a command in this process: many variants, without starting Python for each."""
        return call(*self.argv(*arguments)[3:])

    def refused(self, *arguments: str) -> str:
        """Call a command that must fail with one line, and return that line."""
        said = self.call(*arguments)
        assert said.code != 0, said.out
        (line,) = said.err.strip().splitlines()
        assert line.startswith("legacy-bridge: ")
        return line


def call(*arguments: str) -> Said:
    """Run `legacy-bridge ARGUMENTS` in this process, to its end."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["legacy-bridge", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
        code = 0
    except SystemExit as exc:
        code = exc.code if isinstance(exc.code, int) else int(exc.code is not None)
    finally:
        sys.argv = before
    return Said(code, out.getvalue(), err.getvalue())


def run(argv: list[str], env: Mapping[str, str] | None = None) -> Said:
    """Run a command line to its end; it may not end with a traceback."""
    result = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        env={**os.environ, **(env or {})},
        timeout=COMMAND_WITHIN_S,
        check=False,
    )
    assert "Traceback" not in result.stderr, result.stderr
    return Said(result.returncode, result.stdout, result.stderr)
