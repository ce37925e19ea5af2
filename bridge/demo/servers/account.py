"""Give a server's folder to the account that the server runs as."""

import pwd
import shutil
import tempfile
from pathlib import Path

from bridge.demo.servers.process import ServerNotStarted


def hand_over(folder: Path, user: str, server: str, *, package: str) -> None:
    """Give `folder` to `user` and let it pass the folders above, as far as they are temporary.

    Raises:
        ServerNotStarted: there is no such account, or it may not reach the folder.
    """
    try:
        pwd.getpwnam(user)
    except KeyError:
        raise ServerNotStarted(
            f"cannot start {server}: it refuses to run as root, and this machine has no account "
            f"{user!r} to run it as; install the package {package!r}"
        ) from None
    shutil.chown(folder, user, user)
    temporary = Path(tempfile.gettempdir()).resolve()
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if mode & 0o001:
            continue
        if temporary not in parent.parents:
            raise ServerNotStarted(
                f"cannot start {server} in {str(folder)!r}: account {user!r} may not pass "
                f"{str(parent)!r}; choose a folder under {str(temporary)!r}"
            )
        parent.chmod(mode | 0o011)
