"""How a role's end is told to the shell and to the supervisor (numbers of BSD `sysexits.h`)."""

from bridge.model.errors import BridgeError, ConfigInvalid, Remedy, SourceUnfit, Unavailable

UNAVAILABLE = 69
SOFTWARE = 70
TEMPORARY = 75
CONFIG = 78

_BY_REMEDY = {
    Remedy.OPERATOR: CONFIG,
    # Somebody else was first, or a key is busy: look again, then try again.
    Remedy.REREAD: TEMPORARY,
    Remedy.RETRY: TEMPORARY,
}


def exit_code(error: BaseException) -> int:
    """Return the exit code for `error`."""
    if isinstance(error, Unavailable):
        return UNAVAILABLE
    if isinstance(error, ConfigInvalid | SourceUnfit):
        return CONFIG
    if isinstance(error, BridgeError):
        return _BY_REMEDY.get(error.remedy, SOFTWARE)
    return SOFTWARE
