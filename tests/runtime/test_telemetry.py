"""Run files, log lines and exit codes: what a role tells about itself."""

import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.gateway.dual.ports import IdTaken, WriteStateForbidden
from bridge.model import errors
from bridge.model.errors import BridgeError
from bridge.runtime.exit_codes import CONFIG, SOFTWARE, TEMPORARY, UNAVAILABLE, exit_code
from bridge.runtime.watching.run_files import forget_ended, read_roles
from bridge.runtime.watching.telemetry import RunFileObserver, start_logging
from tests.waiting import wait_until

NEVER_A_PID = 2**22 + 1  # Above every process id that Linux gives.


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What goes to standard error."""
    buffer = io.StringIO()
    monkeypatch.setattr(sys, "stderr", buffer)
    return buffer


@pytest.fixture
def logger(said: io.StringIO) -> Iterator[logging.Logger]:
    """The logger of a role, into `said`; afterwards the process logs as before."""
    root = logging.getLogger()
    libraries = {name: logging.getLogger(name).level for name in ("pika", "apscheduler")}
    before = root.handlers[:], root.level
    # A service that polls, in an earlier test, has silenced it.
    logging.getLogger("apscheduler").setLevel(logging.NOTSET)
    yield start_logging("capture:shop", "debug")
    root.handlers[:], level = before
    root.setLevel(level)
    for name, library_level in libraries.items():
        logging.getLogger(name).setLevel(library_level)


def lines(said: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.getvalue().splitlines()]


def test_a_log_line_is_one_json_object(logger: logging.Logger, said: io.StringIO) -> None:
    logger.info("appended", extra={"facts": {"entries": 12, "error": 'two\nlines "quoted" é'}})
    (line,) = lines(said)
    assert line.pop("time")
    assert line == {
        "level": "info",
        "role": "capture:shop",
        "event": "appended",
        "entries": 12,
        "error": 'two\nlines "quoted" é',
    }


def test_no_fact_takes_the_place_of_what_every_line_has(
    logger: logging.Logger, said: io.StringIO
) -> None:
    logger.info("appended", extra={"facts": {"role": "other", "event": "x", "level": "y"}})
    (line,) = lines(said)
    assert (line["role"], line["event"], line["level"]) == ("capture:shop", "appended", "info")


def test_an_exception_is_one_line_with_its_trace(logger: logging.Logger, said: io.StringIO) -> None:
    try:
        raise ValueError("a bug")
    except ValueError:
        logger.exception("role_failed")
    (line,) = lines(said)
    assert line["error"] == "ValueError: a bug"
    assert "Traceback" in str(line["trace"])


def test_libraries_are_heard_when_something_is_wrong_and_pika_never(
    logger: logging.Logger, said: io.StringIO
) -> None:
    logging.getLogger("apscheduler").info("a schedule")
    logging.getLogger("apscheduler").warning("missed")
    logging.getLogger("pika.adapters.x").critical("unregistered channel")
    assert [line["event"] for line in lines(said)] == ["missed"]


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("switched", "info"),
        ("published", "debug"),
        ("connection_lost", "warning"),
        ("role_stop_failed", "warning"),
        ("parked", "warning"),
    ],
)
def test_notes_have_the_level_that_an_operator_needs(
    tmp_path: Path,
    logger: logging.Logger,
    said: io.StringIO,
    name: str,
    level: str,
) -> None:
    RunFileObserver("delivery", tmp_path, logger).note(name, entries=1)
    (line,) = lines(said)
    assert (line["event"], line["level"], line["entries"]) == (name, level, 1)


def test_notes_are_counted_and_kept_in_the_run_file(tmp_path: Path, logger: logging.Logger) -> None:
    observer = RunFileObserver("gateway:0", tmp_path, logger)
    observer.start()
    observer.note("appended", entries=2, end_lsn="0/1")
    observer.note("appended", entries=3, end_lsn="0/2")
    observer.stop()
    (role,) = read_roles(tmp_path)
    assert (role.role, role.alive) == ("gateway:0", True)
    assert role.counts == {"appended": 2, "appended.entries": 5}
    assert role.last == {"appended.entries": 3, "appended.end_lsn": "0/2"}


def test_the_run_file_is_kept_fresh(tmp_path: Path, logger: logging.Logger) -> None:
    observer = RunFileObserver("delivery", tmp_path, logger)
    observer.start()
    observer.note("published")
    wait_until(lambda: read_roles(tmp_path)[0].counts.get("published") == 1, what="a fresh file")
    observer.stop()


def test_a_reader_never_sees_half_a_run_file(tmp_path: Path, logger: logging.Logger) -> None:
    observer = RunFileObserver("delivery", tmp_path, logger)
    for number in range(400):  # Large enough to be written in several pieces.
        observer.note(f"name_{number}_{'x' * 50}")
    observer.write()
    done = threading.Event()

    def write() -> None:
        for _ in range(300):
            observer.write()
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    reads = 0
    while not done.is_set() or not reads:
        body = json.loads((tmp_path / "delivery.json").read_text())
        assert len(body["counts"]) == 400
        reads += 1
    writer.join()


def test_a_full_disk_is_a_warning_and_leaves_the_last_file(
    tmp_path: Path, logger: logging.Logger, said: io.StringIO
) -> None:
    observer = RunFileObserver("delivery", tmp_path, logger)
    observer.note("published")
    observer.write()
    # What is written there meets "no space left on device".
    (tmp_path / "delivery.json.new").symlink_to("/dev/full")
    observer.note("published")
    said.seek(0)
    said.truncate()
    observer.write()
    (line,) = lines(said)
    assert (line["event"], line["level"]) == ("run_file_failed", "warning")
    assert "No space left" in str(line["error"])
    assert read_roles(tmp_path)[0].counts == {"published": 1}
    (tmp_path / "delivery.json.new").unlink()
    observer.write()
    assert read_roles(tmp_path)[0].counts == {"published": 2}


def test_roles_of_former_settings_are_forgotten(tmp_path: Path, logger: logging.Logger) -> None:
    RunFileObserver("delivery", tmp_path, logger).write()
    gone = {"role": "gateway:7", "pid": NEVER_A_PID, "updated_at": 2e12}
    (tmp_path / "gateway.7.json").write_text(json.dumps(gone))
    (tmp_path / "gateway.supervisor").write_text(
        json.dumps({"pid": NEVER_A_PID, "roles": {"gateway:8": {}}})
    )
    (tmp_path / "half.json").write_text("{")
    assert len(read_roles(tmp_path)) == 3
    forget_ended(tmp_path)
    assert [role.role for role in read_roles(tmp_path)] == ["delivery"]


def classes_of(kind: type[BridgeError]) -> Iterator[type[BridgeError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from classes_of(below)


@pytest.mark.parametrize(
    ("code", "kinds"),
    [
        (
            CONFIG,
            (
                errors.ConfigInvalid,
                errors.SourceUnfit,
                errors.StepForbidden,
                errors.LimitExceeded,
                errors.ContractIncompatible,
                IdTaken,
            ),
        ),
        (
            UNAVAILABLE,
            (
                errors.SourceUnavailable,
                errors.SinkUnavailable,
                errors.UpstreamUnavailable,
                errors.StorageUnavailable,
            ),
        ),
        (TEMPORARY, (errors.StaleEpoch, errors.LaneBusy, WriteStateForbidden)),
        (
            SOFTWARE,
            (errors.LogCorrupt, errors.DecodeError, errors.StaleCursor, errors.OutcomeUnknown),
        ),
    ],
)
def test_the_exit_code_says_who_should_act(code: int, kinds: tuple[type[BridgeError], ...]) -> None:
    for kind in kinds:
        assert exit_code(kind("x")) == code


def test_what_nobody_foresaw_is_a_fault_of_ours() -> None:
    for error in (RuntimeError("x"), AssertionError(), KeyError("x")):
        assert exit_code(error) == SOFTWARE


def test_every_error_has_a_code_of_its_own_kind() -> None:
    for kind in classes_of(BridgeError):
        assert exit_code(kind.__new__(kind)) in (CONFIG, UNAVAILABLE, TEMPORARY, SOFTWARE)
