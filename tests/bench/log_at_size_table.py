"""Make the table and the picture of `docs/log-storage.md` from what `log_at_size` measured.

python -m tests.bench.log_at_size_table docs/log-at-size.svg build/bench/log_at_size-*.json
"""

import json
import sys
from math import log10
from pathlib import Path
from typing import Any, Final

Row = dict[str, Any]

# What a row of the table is called, where its figure is, and how it is written.
LINES: Final = (
    ("append, events/s", "append_per_s", "{:,}"),
    ("append, µs of CPU per event", "append_cpu_us", "{}"),
    ("append of 1,000, p50 / p99, ms", ("append_batch_p50_ms", "append_batch_p99_ms"), "{}"),
    ("store, bytes per event (payload)", ("store_bytes", "payload_bytes"), "{:,}"),
    ("index, entries/s", "index_per_s", "{:,}"),
    ("index, bytes per event", "index_bytes", "{}"),
    ("search, slowest p50 / p95, ms", ("search_p50_ms", "search_p95_ms"), "{}"),
    ("inclusion proof, p50 / p99, ms", ("inclusion_p50_ms", "inclusion_p99_ms"), "{}"),
    ("proofs, ms of CPU (inclusion, consistency)",
     ("inclusion_cpu_ms", "consistency_cpu_ms"), "{}"),
    ("consistency proof, p50 / p99, ms", ("consistency_p50_ms", "consistency_p99_ms"), "{}"),
    ("checkpoint, ms", "checkpoint_ms", "{}"),
    ("export, entries/s", "export_per_s", "{:,}"),
    ("bundle, bytes per entry", "bundle_bytes", "{:,}"),
    ("verify.py, leaves/s (per CPU-s)", ("verify_python_per_s", "verify_python_per_cpu_s"), "{:,}"),
    ("verify.mjs, leaves/s (per CPU-s)", ("verify_node_per_s", "verify_node_per_cpu_s"), "{:,}"),
    ("largest process: append / search / export, MB",
     ("append_peak_mb", "search_peak_mb", "export_peak_mb"), "{}"),
    ("load average of the 2 cores", "load", "{}"),
)  # fmt: skip

# What grows (or should not) with the log: relative to the smallest size.
CURVES: Final = {
    "append_cpu_us": ("append, CPU per event", "#1b6ca8"),
    "store_bytes": ("store, bytes per event", "#2a9d4e"),
    "index_bytes": ("index, bytes per event", "#c77d0a"),
    "inclusion_p50_ms": ("inclusion proof", "#b3261e"),
    "search_p95_ms": ("slowest search, p95", "#6a3fa0"),
    "verify_python_per_cpu_s": ("verify.py, leaves per CPU-s", "#555555"),
}

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 380, 60, 40, 20


def figure(row: Row, name: str) -> float | None:
    """Return a figure of a row; of several (one a search) the largest."""
    found = row.get(name)
    if isinstance(found, dict):
        return max(found.values(), default=None)
    return found


def table(rows: list[Row]) -> str:
    """Return the Markdown table: a column for each store and size."""
    head = " | ".join(f"{row['store']} {row['entries']:,}" for row in rows)
    lines = [f"| | {head} |", "|---" * (len(rows) + 1) + "|"]
    for title, names, form in LINES:
        cells = [_cell(row, (names,) if isinstance(names, str) else names, form) for row in rows]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(row: Row, names: tuple[str, ...], form: str) -> str:
    figures = [figure(row, name) for name in names]
    if all(each is None for each in figures):
        return "-"
    return " / ".join("-" if each is None else form.format(each) for each in figures)


def picture(rows: list[Row]) -> str:
    """Return an SVG of how the curves grow with one store, relative to its smallest size."""
    low, high = log10(rows[0]["entries"]), log10(rows[-1]["entries"])
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            'font-family="sans-serif" font-size="12">'
        ),
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
    ]

    def place(entries: float, factor: float) -> tuple[float, float]:
        across = (log10(entries) - low) / max(high - low, 1e-9)
        # A tenth at the bottom, tenfold at the top.
        up = (min(max(log10(factor), -1), 1) + 1) / 2
        return LEFT + across * (WIDTH - LEFT - 220), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    for factor in (0.1, 0.3, 1, 3, 10):
        x, y = place(rows[0]["entries"], factor)
        parts.append(
            f'<line x1="{x:.0f}" y1="{y:.0f}" x2="{WIDTH - 220}" y2="{y:.0f}" stroke="#dddddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{factor:g} x</text>'
        )
    for row in rows:
        x, _ = place(row["entries"], 1)
        parts.append(
            f'<text x="{x:.0f}" y="{HEIGHT - 14}" text-anchor="middle">{row["entries"]:,}</text>'
        )
    for number, (name, (title, colour)) in enumerate(CURVES.items()):
        base = figure(rows[0], name)
        points = [
            place(row["entries"], found / base)
            for row in rows
            if base and (found := figure(row, name))
        ]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        at = TOP + 16 + number * 22
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<rect x="{WIDTH - 200}" y="{at - 9}" width="12" height="4" fill="{colour}"/>'
            f'<text x="{WIDTH - 182}" y="{at}">{title}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def main(svg: str, *files: str) -> None:
    """Print the table of all files, and write the picture of the first."""
    every = [json.loads(Path(file).read_text(encoding="utf-8")) for file in files]
    Path(svg).write_text(picture(every[0]), encoding="utf-8")
    print(table([row for rows in every for row in rows]))


if __name__ == "__main__":
    main(*sys.argv[1:])
