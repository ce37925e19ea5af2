"""A role ends with its supervisor, even when that is killed with -9.

The role asks the kernel itself: doing it between fork and exec would need code in the child of a
process with threads, which Python rightly warns about.
"""

import ctypes
import os
import signal

PARENT_VARIABLE = "LEGACY_BRIDGE_PARENT"
"""Set by the supervisor to its process id; absent when a role is run by hand."""

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Get SIGTERM when the supervisor that started us ends; end now if it already has."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        raise SystemExit(0)
