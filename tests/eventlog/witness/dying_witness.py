"""A witness that kills itself (SIGKILL) at one step of answering a submission.

    python -m tests.eventlog.witness.dying_witness FOLDER STEP < submission

It prints the answer's status and body if it lives that long, then dies all the same.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from bridge.eventlog.witness.cosigner import Witness
from bridge.eventlog.witness.heads import KeptHeads
from tests.eventlog.witness.logs import signer_in, witness_in

# What a step calls, in this order; a witness dies before or after it.
CALLS: dict[str, tuple[Any, str]] = {
    "judge": (KeptHeads, "head"),
    "keep": (KeptHeads, "keep"),
    "write": (os, "fsync"),
    "rename": (Path, "replace"),
    "answer": (Witness, "add_checkpoint"),
}
STEPS = [f"{when}-{call}" for call in CALLS for when in ("before", "after")]


def die() -> None:
    """End at once, as at a loss of power for this process."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(folder: str, step: str) -> None:
    """Answer one submission from standard input."""
    witness = witness_in(Path(folder), signer_in(Path(folder)))
    when, _, call = step.partition("-")
    owner, name = CALLS[call]
    real = getattr(owner, name)

    def dying(*arguments: Any) -> Any:
        if when == "before":
            die()
        found = real(*arguments)
        die()
        return found

    setattr(owner, name, dying)
    answer = witness.add_checkpoint(sys.stdin.buffer.read())
    print(answer.status, flush=True)
    die()


if __name__ == "__main__":
    main(*sys.argv[1:])
