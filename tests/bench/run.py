"""Run the benchmarks, print their table and write `build/bench/NAME.json`.

A benchmark is a module of this folder with `NAME` and `run() -> dict`, and `PEERS` (program →
package of the distribution) when it compares with one that must be installed. Figures are ratios
taken in one run against a limit or a peer with the same work; absolute figures move between
machines.
"""

import argparse
import importlib
import json
import os
import pkgutil
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bridge.demo.servers.packages import install

FOLDER = Path("build/bench")
FIELDS = (
    "name", "value", "unit", "against", "against_value", "ratio", "target", "moonshot", "runs",
    "spread",
)  # fmt: skip


def discover() -> dict[str, Any]:
    """Return the benchmark modules by name."""
    package = importlib.import_module("tests.bench")
    modules = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"tests.bench.{info.name}")
        if hasattr(module, "NAME"):
            modules[module.NAME] = module
    return dict(sorted(modules.items()))


def main(argv: list[str] | None = None) -> int:
    """Run all benchmarks or those named by `--only`; non-zero when one could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", default="", help="comma-separated names; all when absent")
    wanted = [name for name in parser.parse_args(argv).only.split(",") if name]
    benchmarks = discover()
    unknown = sorted(set(wanted) - set(benchmarks))
    if unknown:
        print(f"unknown benchmarks {unknown}; known: {', '.join(benchmarks)}", file=sys.stderr)
        return 64
    FOLDER.mkdir(parents=True, exist_ok=True)
    console = Console()
    # A log file is not 80 columns wide.
    console.width = max(console.width, 130)
    table = Table("name", "value", "against", "ratio", "target", "met", "runs", "spread")
    failed = 0
    for name in wanted or benchmarks:
        console.print(f"[dim]measuring {name} …[/dim]")
        began = time.perf_counter()
        try:
            _install_peers(benchmarks[name])
            row = benchmarks[name].run()
        except Exception as exc:  # One must not hide the others.
            console.print(f"[red]cannot measure {name}: {type(exc).__name__}: {exc}[/red]")
            failed += 1
            continue
        missing = [field for field in FIELDS if field not in row]
        assert not missing, f"benchmark {name} left out {missing}"
        (FOLDER / f"{name}.json").write_text(json.dumps(row, indent=2) + "\n")
        _add(table, row)
        console.print(f"[dim]  {time.perf_counter() - began:.0f} s[/dim]")
    console.print(table)
    console.print(f"JSON in {FOLDER}/")
    return 1 if failed else 0


def _install_peers(benchmark: Any) -> None:
    """Install what the benchmark compares with; a peer that cannot be had is said, not skipped."""
    peers: dict[str, str] = getattr(benchmark, "PEERS", {})
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    absent = [package for program, package in peers.items() if not shutil.which(program, path=path)]
    if absent:
        install(absent)


def _add(table: Table, row: dict[str, Any]) -> None:
    met = row["ratio"] >= row["target"] if row.get("better", "higher") == "higher" else (
        row["ratio"] <= row["target"]
    )  # fmt: skip
    table.add_row(
        row["name"],
        f"{row['value']:,.4g} {row['unit']}",
        f"{row['against']}: {row['against_value']:,.4g}",
        f"{row['ratio']:.3g}",
        f"{row['target']}",
        "[green]yes[/green]" if met else "[yellow]no[/yellow]",
        str(row["runs"]),
        str(row["spread"]),
    )


if __name__ == "__main__":
    raise SystemExit(main())
