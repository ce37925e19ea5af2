"""A process beside a test: started, asked to end, waited for with a bound, and never left behind.

`with subprocess.Popen(...)` waits for its end without one: a program that does not end then takes
the whole time limit of its test, and whatever it holds (ports, locks) from the next test too.
"""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# Programs of ours drain for 10 s; a test whose program must end sooner looks at it itself.
END_WITHIN_S = 15
# Of a killed process the kernel has nothing to wait for but its own work.
DIE_WITHIN_S = 30


@contextmanager
def child(argv: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run `argv` until the block ends; `options` are `subprocess.Popen`'s.

    It gets SIGTERM then, if it has not ended, and SIGKILL if it does not heed that.
    """
    process = subprocess.Popen(argv, **options)
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[Any]) -> int:
    """Have a process end, by force if it must be; return its exit code."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(DIE_WITHIN_S)
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(OSError):  # What was not sent yet is nobody's any more.
                pipe.close()
    return process.returncode
