"""The page of metrics and the rules for Prometheus name what there is, and nothing else."""

import re
from pathlib import Path

import yaml

from bridge.runtime.watching.metrics import render_metrics

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
RULES = ROOT / "config" / "prometheus-rules.yaml"
_SUFFIXES = ("_total", "_bucket", "_count", "_sum")
_FAMILY = re.compile(r"^# TYPE legacy_bridge_(\w+) ", re.MULTILINE)
_NOTE = re.compile(r"\.note\(\s*\"([a-z_]+)\"")
_NAME = re.compile(r"legacy_bridge_(\w+)")


def _notes() -> set[str]:
    """Return every name that is noted in so many words."""
    found: set[str] = set()
    for folder in ("bridge", "adapters"):
        for path in (ROOT / folder).rglob("*.py"):
            found.update(_NOTE.findall(path.read_text(encoding="utf-8")))
    return found


def test_every_metric_with_labels_is_told(tmp_path: Path) -> None:
    families = set(_FAMILY.findall(render_metrics(tmp_path).decode()))
    assert {"up", "requests_total", "request_seconds", "phase_seconds"} <= families
    missing = sorted(name for name in families if f"`{name}`" not in PAGE)
    assert not missing, f"docs/metrics.md does not tell of {missing}"


def test_every_note_is_told() -> None:
    missing = sorted(name for name in _notes() if f"`{name}`" not in PAGE)
    assert not missing, f"docs/metrics.md, `Counts of notes`, does not tell of {missing}"


def test_rules_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert all(("record" in rule) != ("alert" in rule) for rule in rules)
    assert all("summary" in rule["annotations"] for rule in rules if "alert" in rule)
    families = set(_FAMILY.findall(render_metrics(tmp_path).decode()))
    known = {name.removesuffix("_total") for name in families} | _notes()
    known |= {"replay_parked", "spans_unsent_spans"}  # Made of a state, and of a fact.
    recorded = {rule["record"] for rule in rules if "record" in rule}
    for rule in rules:
        expression = rule["expr"]
        assert expression.count("(") == expression.count(")"), expression
        asked = set(re.findall(r"legacy_bridge:[\w:]+", expression))
        assert asked <= recorded, expression
        for name in _NAME.findall(expression):
            base = next((name.removesuffix(end) for end in _SUFFIXES if name.endswith(end)), name)
            assert base in known, name
