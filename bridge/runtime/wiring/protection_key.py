"""Read the secret behind protected columns from its file."""

from bridge.contracts.protection import KEY_BYTES_MIN, ProtectionKeys
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.settings import ContractsSettings
from bridge.runtime.wiring.private_key import private_bytes

# A key is a few dozen bytes; a larger file is another one.
_FILE_BYTES_MAX = 4_096


def protection_keys(settings: ContractsSettings) -> ProtectionKeys | None:
    """Return the keys of the configured file, or None when none is configured.

    Raises:
        ConfigInvalid: the file cannot be read, is too short, or others may read it.
    """
    path = settings.protection_key_file
    if path is None:
        return None
    secret = private_bytes(path, "contracts.protection_key_file", _FILE_BYTES_MAX)
    what = f"cannot use contracts.protection_key_file {str(path)!r}"
    if len(secret) > _FILE_BYTES_MAX:
        raise ConfigInvalid(f"{what}: it has more than {_FILE_BYTES_MAX} bytes")
    try:
        return ProtectionKeys.derive(secret)
    except ValueError as exc:
        raise ConfigInvalid(
            f"{what}: {exc}; make one with: head -c {KEY_BYTES_MIN} /dev/urandom > FILE"
        ) from exc
