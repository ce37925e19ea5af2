"""Asks both verifiers, each in one process for many bundles, and holds them to the same answer."""

import contextlib
import io
import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bridge.eventlog.verifier import verify
from tests.eventlog.verifier.bundle_maker import write_files

VERIFY_PY = Path(verify.__file__)
VERIFY_MJS = VERIFY_PY.with_name("verify.mjs")
DRIVER = Path(__file__).with_name("node_driver.mjs")


class Said:
    """What both verifiers say of one bundle."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.json = said
        self.code: int = said["exit_code"]
        self.files = {each["file"] for each in said["findings"]}
        self.places = {(each["file"], each["index"]) for each in said["findings"]}
        self.text = json.dumps(said, indent=1, ensure_ascii=False)


class Verifiers:
    """Both verifiers, and a folder to write bundles to."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._node = subprocess.Popen(
            [shutil.which("node") or "node", str(DRIVER), str(VERIFY_MJS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End the process."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.close()
        self._node.wait(timeout=10)
        self._node.stdout.close()

    def ask_node(self, **asked: Any) -> Any:
        """Return what the driver answers."""
        assert self._node.stdin is not None
        assert self._node.stdout is not None
        self._node.stdin.write(json.dumps(asked) + "\n")
        self._node.stdin.flush()
        return json.loads(self._node.stdout.readline())

    def judge_folder(
        self,
        folder: Path,
        keys: Sequence[str],
        *,
        witnesses: Sequence[str] = (),
        witnesses_min: int | None = None,
        since: Path | None = None,
    ) -> Said:
        """Return the answer of both to one bundle; they say the same, word by word."""
        options: dict[str, Any] = {"key": [*keys], "witness": [*witnesses]}
        arguments = [str(folder), "--json", *(f"--key={key}" for key in keys)]
        arguments += [f"--witness={key}" for key in witnesses]
        if witnesses_min is not None:
            options["witnesses-min"] = witnesses_min
            arguments.append(f"--witnesses-min={witnesses_min}")
        if since is not None:
            options["since"] = str(since)
            arguments.append(f"--since={since}")
        said = ask_python(arguments)
        assert self.ask_node(bundle=str(folder), **options) == said
        return Said(said)

    def judge(self, files: Mapping[str, bytes], keys: Sequence[str], **options: Any) -> Said:
        """Write a bundle, then as `judge_folder`."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        write_files(self.scratch, files)
        return self.judge_folder(self.scratch, keys, **options)


def ask_python(arguments: list[str]) -> dict[str, Any]:
    """Return what verify.py prints with `--json`; its exit code is the one that it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = verify.main(arguments)
    said: dict[str, Any] = json.loads(printed.getvalue())
    assert said["exit_code"] == code
    assert "broke down" not in printed.getvalue()
    return said


@contextlib.contextmanager
def both_verifiers(scratch: Path) -> Iterator[Verifiers]:
    """Open and close both."""
    verifiers = Verifiers(scratch)
    try:
        yield verifiers
    finally:
        verifiers.close()
