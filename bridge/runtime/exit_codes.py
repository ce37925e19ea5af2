"""How a role's end is told to the shell and to the supervisor (numbers of BSD `sysexits.h`)."""

from bridge.model.errors import BridgeError, ConfigInvalid, Remedy, SourceUnfit, Unavailable

USAGE = 64
UNAVAILABLE = 69
SOFTWARE = 70
CONFIG = 78


def exit_code(error: BaseException) -> int:
    """Return the exit code for `error`."""
    if isinstance(error, Unavailable):
        return UNAVAILABLE
    if isinstance(error, ConfigInvalid | SourceUnfit):
        return CONFIG
    if isinstance(error, BridgeError):
        return CONFIG if error.remedy is Remedy.OPERATOR else SOFTWARE
    return SOFTWARE
