"""Style that no linter holds: sizes, purity, names, and what documents and targets promise.

Each test collects every fault of its kind and names file and line, so that one run is enough.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).parents[1]
CODE_FOLDERS = ("bridge", "adapters", "tests")

FILE_LINES_MAX = 350
FUNCTION_LINES_MAX = 70

# Bytes in, values out: what these decide can be repeated exactly, whatever the hour and machine.
PURE = (
    "bridge/model/*.py",
    "bridge/contracts/mapping*.py",
    "bridge/contracts/codec*.py",
    "bridge/capture/protocol/pgoutput*.py",
    "bridge/capture/guard/verdict*.py",
    "bridge/capture/guard/wal_guard*.py",
    "bridge/capture/meter*.py",
    "adapters/postgres/sqlstates*.py",
    "bridge/capture/protocol/assembler*.py",
    "bridge/capture/protocol/staging*.py",
    "bridge/capture/protocol/stage_records*.py",
    "bridge/capture/protocol/tuples*.py",
    "bridge/capture/drift/catalog_facts*.py",
    "bridge/capture/mapping/context*.py",
    "bridge/capture/drift/differences*.py",
    "bridge/capture/findings*.py",
    "bridge/capture/mapping/leaf_fields*.py",
    "bridge/capture/mapping/messages*.py",
    "bridge/capture/mapping/own_events*.py",
    "bridge/capture/drift/parked_rows*.py",
    "bridge/capture/drift/shapes*.py",
    "bridge/capture/polling/diff*.py",
    "bridge/capture/polling/drafts*.py",
    "bridge/capture/polling/horizon*.py",
    "bridge/capture/polling/plan*.py",
    "bridge/capture/polling/position*.py",
    "bridge/capture/polling/scalars*.py",
    "bridge/contracts/erased_fields*.py",
    "bridge/contracts/subjects*.py",
    "bridge/eventlog/keeping/certificate*.py",
    "bridge/eventlog/keeping/sealed_form*.py",
    "bridge/eventlog/merkle*.py",
    "bridge/eventlog/signing/note*.py",
    "bridge/eventlog/signing/cosignature*.py",
    "bridge/eventlog/signing/keyring*.py",
    "bridge/eventlog/tiles/tile_paths*.py",
    "bridge/eventlog/tiles/tile_contents*.py",
    "bridge/eventlog/proofs/*.py",
    "bridge/eventlog/leaf*.py",
    "bridge/gateway/drill/drill.py",
    "bridge/gateway/drill/tally.py",
    "bridge/gateway/dual/derived_ids.py",
    "bridge/gateway/dual/doubt.py",
    "bridge/gateway/dual/entity_look.py",
    "bridge/gateway/dual/lane_ages.py",
    "bridge/gateway/dual/replay_verdict.py",
    "bridge/gateway/dual/replay_places.py",
    "bridge/gateway/dual/retry_budget.py",
    "bridge/gateway/dual/route_risks*.py",
    "bridge/gateway/dual/templates.py",
    "bridge/gateway/routes/block_edit*.py",
    "bridge/gateway/routes/cohort*.py",
    "bridge/gateway/routes/differences*.py",
    "bridge/gateway/routes/explanation*.py",
    "bridge/gateway/routes/path_template*.py",
    "bridge/gateway/routes/route_file*.py",
    "bridge/gateway/routes/sections/*.py",
    "bridge/gateway/routes/table*.py",
    "bridge/gateway/routes/timings*.py",
    "bridge/gateway/routes/token_keys*.py",
    "bridge/gateway/routes/trie*.py",
    "bridge/gateway/tracing/outgoing*.py",
    "bridge/gateway/tracing/span*.py",
    "bridge/gateway/translation/*.py",
    "bridge/gateway/protection/adaptive_limit*.py",
    "bridge/gateway/protection/breaker*.py",
    "bridge/gateway/protection/guarded_exchange*.py",
    "bridge/gateway/protection/retry_budget*.py",
    "bridge/gateway/protection/token_bucket*.py",
    "bridge/gateway/protection/waiting_line*.py",
    "bridge/gateway/tls/certificate_names*.py",
    "bridge/gateway/tls/client_identity*.py",
    "bridge/gateway/shadow/copied_request*.py",
    "bridge/gateway/shadow/counts*.py",
    "bridge/gateway/shadow/limits*.py",
    "bridge/gateway/shadow/pace*.py",
    "bridge/eventlog/exporting/leaf_filter*.py",
    "bridge/eventlog/exporting/manifest*.py",
    "bridge/eventlog/exporting/range_proof*.py",
    "bridge/eventlog/exporting/views/columns*.py",
    "bridge/eventlog/exporting/views/csv_text*.py",
    "bridge/eventlog/exporting/views/facts*.py",
    "bridge/eventlog/exporting/views/numbers*.py",
    "bridge/eventlog/exporting/views/rows*.py",
    "bridge/eventlog/witness/submission*.py",
    "bridge/eventlog/witness/verdict*.py",
    "bridge/eventlog/witness/standing*.py",
    "adapters/timestamp/reply*.py",
    "bridge/consumer/replays*.py",
    "bridge/delivery/replay/choice*.py",
    "bridge/delivery/replay/job.py",
    "bridge/eventlog/history/business_values*.py",
    "bridge/eventlog/history/candidates*.py",
    "bridge/eventlog/history/entity_state*.py",
    "bridge/eventlog/history/index_rows*.py",
    "bridge/eventlog/history/query*.py",
    "bridge/eventlog/history/told*.py",
    "bridge/eventlog/oversized*.py",
    "bridge/gateway/comparison/*.py",
    "bridge/gateway/reconciliation/correlation*.py",
    "bridge/gateway/reconciliation/findings*.py",
    "bridge/gateway/reconciliation/rules*.py",
    "bridge/gateway/http/*.py",
    "bridge/gateway/openapi/*.py",
    "bridge/gateway/routes/table*.py",
    "bridge/gateway/routes/decision*.py",
    "bridge/gateway/routes/route.py",
    "bridge/gateway/translation/*.py",
)
# It stands in the model because a consumer's kit needs it, and may import no other room.
NOT_PURE = "bridge/model/signals.py"
IMPURE_IMPORTS = {"asyncio", "logging", "random", "secrets", "socket", "threading", "time"}
IMPURE_CALLS = {"now", "open", "today", "utcnow", "uuid1", "uuid4"}

# A program of one file, on purpose: an auditor copies it, reads it whole and runs it without us.
VERIFIER = "bridge/eventlog/verifier/verify.py"
# It checks seven kinds of evidence with one file and no library, and is still read in one sitting.
# The same limit holds for the second implementation.
VERIFIER_LINES_MAX = 1_350

# The one place in the tests that may sleep: everybody else waits there, with a deadline.
WAITING = "tests/waiting.py"

NAMES_WITHOUT_MEANING = {"common", "helper", "helpers", "manager", "misc", "util", "utils"}

MAKE_TARGETS = ("demo", "test", "check", "bench", "soak", "build", "lock")


def _files(*patterns: str) -> list[Path]:
    return sorted(
        path
        for pattern in patterns
        for path in PROJECT.glob(pattern)
        if "__pycache__" not in path.parts
    )


def _python_files() -> list[Path]:
    return _files(*(f"{folder}/**/*.py" for folder in CODE_FOLDERS))


def _where(path: Path, line: int | None = None) -> str:
    name = path.relative_to(PROJECT).as_posix()
    return name if line is None else f"{name}:{line}"


def _nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path)))


def _called(node: ast.Call) -> str:
    if isinstance(node.func, ast.Attribute):
        return node.func.attr
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _imported(node: ast.AST) -> list[str]:
    """Return the full names of the modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        return [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def test_files_and_functions_are_short() -> None:
    faults = []
    for path in _python_files():
        length = len(path.read_text(encoding="utf-8").splitlines())
        if length > FILE_LINES_MAX and _where(path) != VERIFIER:
            faults.append(f"{_where(path)} has {length} lines; split it by noun")
        for node in _nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    faults.append(f"{_where(path, node.lineno)} {node.name} has {length} lines")
    assert not faults, "\n".join(faults)


def test_the_verifiers_can_be_read_in_one_sitting() -> None:
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in _files("bridge/eventlog/verifier/verify.*")
    }
    assert sorted(lengths) == ["verify.mjs", "verify.py"]
    assert max(lengths.values()) <= VERIFIER_LINES_MAX, lengths


def test_pure_modules_know_no_clock_chance_file_or_network() -> None:
    faults = []
    for path in _files(*PURE):
        if _where(path) == NOT_PURE:
            continue
        for node in _nodes(path):
            if isinstance(node, ast.Call) and _called(node) in IMPURE_CALLS:
                faults.append(f"{_where(path, node.lineno)} calls {_called(node)}()")
            roots = {module.partition(".")[0] for module in _imported(node)}
            faults += [f"{_where(path)} imports {name}" for name in roots & IMPURE_IMPORTS]
    assert not faults, "\n".join(faults)


def test_tests_do_not_sleep() -> None:
    faults = [
        f"{_where(path, node.lineno)} sleeps; wait for the thing itself with tests/waiting.py"
        for path in _files("tests/**/*.py")
        if _where(path) != WAITING
        for node in _nodes(path)
        # `asyncio.sleep(0)` waits for nothing: it lets other tasks run.
        if isinstance(node, ast.Call) and _called(node) == "sleep" and not _is_zero(node.args)
    ]
    assert not faults, "\n".join(faults)


def _is_zero(arguments: list[ast.expr]) -> bool:
    return len(arguments) == 1 and isinstance(arguments[0], ast.Constant) and not arguments[0].value


def test_modules_are_named_after_a_thing() -> None:
    faults = [
        f"{_where(path)} says nothing about what is in it"
        for path in _python_files()
        if NAMES_WITHOUT_MEANING & {*path.stem.split("_"), path.parent.name}
    ]
    assert not faults, "\n".join(faults)


def test_every_module_is_used() -> None:
    used = {name for path in _python_files() for node in _nodes(path) for name in _imported(node)}
    started = "\n".join(
        (PROJECT / name).read_text(encoding="utf-8")
        # The command line names its modules by text, and loads the one that is called.
        for name in ("Makefile", "pyproject.toml", "bridge/cli/main.py")
    )
    faults = []
    for path in _files("bridge/**/*.py", "adapters/**/*.py"):
        module = ".".join(path.relative_to(PROJECT).with_suffix("").parts)
        # Packages and `__main__` are reached by their folder's name.
        if path.stem in ("__init__", "__main__") or _where(path) == VERIFIER:
            continue
        if module not in used and module not in started:
            faults.append(f"{_where(path)} is imported by nobody")
    assert not faults, "\n".join(faults)


def test_every_package_of_ours_is_one() -> None:
    faults = [
        f"{_where(path.parent)} has modules and no __init__.py"
        for path in _python_files()
        if not (path.parent / "__init__.py").exists()
    ]
    assert not faults, "\n".join(sorted(set(faults)))


def test_documents_have_one_title() -> None:
    faults = []
    for path in _files("docs/**/*.md", "README.md", "CHANGELOG.md"):
        prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S)
        titles = re.findall(r"^# ", prose, flags=re.M)
        if len(titles) != 1:
            faults.append(f"{_where(path)} has {len(titles)} titles")
    assert not faults, "\n".join(faults)


def test_data_folders_hold_no_code() -> None:
    found = _files("contracts/**/*.py", "routes/**/*.py", "config/**/*.py")
    assert not found, [_where(path) for path in found]


def test_make_explains_every_target() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    explained = set(re.findall(r"^([a-z]+):.*## \S", makefile, flags=re.M))
    assert explained >= set(MAKE_TARGETS)
    phony = re.search(r"^\.PHONY: (.*)$", makefile, flags=re.M)
    assert phony is not None
    assert explained <= set(phony[1].split())


def test_the_lock_file_names_no_address() -> None:
    lock = (PROJECT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert "--index" not in lock
    assert "--find-links" not in lock
