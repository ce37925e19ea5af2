"""Run the separate verifier from within: the very file that an auditor runs, in its own process."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VERIFIER = Path(__file__).parent / "verifier" / "verify.py"

VERIFIED, TAMPERED, INCOMPLETE = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the verifier said."""

    exit_code: int
    """`VERIFIED`, `TAMPERED` or `INCOMPLETE`; the process should end with it."""
    text: str


def verify_bundle(bundle: Path, vkey: str | None) -> Verdict:
    """Verify the bundle in folder `bundle` with the key from outside it.

    Without `vkey` the verdict is `INCOMPLETE` at best: the bundle then vouches for itself.
    """
    key = [] if vkey is None else [f"--key={vkey}"]
    return run_verifier([*key, "--", str(bundle)])


def run_verifier(arguments: Sequence[str]) -> Verdict:
    """Run the verifier with the arguments of its command line."""
    # -I: nothing of the caller's environment or folder is imported.
    command = [sys.executable, "-I", str(VERIFIER), *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    # A verifier that itself breaks down has verified nothing.
    code = done.returncode if done.returncode in (VERIFIED, TAMPERED) else INCOMPLETE
    if "Traceback (most recent call last)" in done.stderr:
        code = INCOMPLETE
    return Verdict(exit_code=code, text=done.stdout + done.stderr)
