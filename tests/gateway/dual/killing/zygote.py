"""A process that has everything imported and forks others on command: a restart costs a fork.

Run as `python -m tests.gateway.dual.killing.zygote`; each line on its standard input is a JSON list
of a role and its arguments, and is answered with the new process's id.
"""

import json
import os
import signal
import sys
import traceback

import bridge.runtime.roles.gateway
import bridge.runtime.roles.replay  # noqa: F401  # imported here so that no fork has to
from tests.gateway.dual.killing.points import run_gateway_role
from tests.gateway.dual.killing.side import serve


def main() -> None:
    """Fork until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for them: no zombies.
    for line in sys.stdin:
        role, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _run(role, arguments)
        print(pid, flush=True)


def _run(role: str, arguments: list[str]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # What roles print must not look like a process id.
    status = 1
    try:
        if role == "side":
            serve(int(arguments[0]), arguments[1], arguments[2])
        else:
            run_gateway_role(role, *arguments)
        status = 0
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    main()
