"""Under which name the log signs: what its keys remember, and how a name is given up.

The folder of the keys outlives the log's store, so it knows what the store may have forgotten: the
last head that was signed. A name that was given up after a loss moves, with its keys and its last
head, into a folder of its own: it is evidence, and it is never signed with again.
"""

from pathlib import Path
from typing import NamedTuple

from bridge.eventlog.durable_files import sync_folder
from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.signing.signer import LAST
from bridge.model.entry import TreeHead
from bridge.model.errors import ConfigInvalid, StorageUnavailable

KEY_NAME = "log.ed25519"
RETIRED = "retired-"


class SignedHead(NamedTuple):
    """The last head that a log's keys signed."""

    origin: str
    head: TreeHead
    note: str


def signed_head(folder: Path) -> SignedHead | None:
    """Return what the keys in `folder` signed last; None when they never did.

    Raises:
        StorageUnavailable: the folder cannot be read.
        DecodeError: its file is not a signed checkpoint.
    """
    path = folder / (KEY_NAME + LAST)
    try:
        note = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as exc:
        raise StorageUnavailable(
            f"cannot read {str(path)!r}: {exc.strerror}; check the rights of the gateway's user"
        ) from exc
    text, _ = split_note(note)
    origin, head = parse_checkpoint(text)
    return SignedHead(origin, head, note.decode())


def retired(folder: Path) -> list[SignedHead]:
    """Return the last heads of the names that this log gave up, by size."""
    found = (signed_head(each) for each in folder.glob(RETIRED + "*"))
    return sorted((each for each in found if each is not None), key=lambda each: each.head.size)


def refuse_retired(folder: Path, origin: str) -> None:
    """Refuse to sign under a name that was given up.

    Raises:
        ConfigInvalid: `event_log.origin` is such a name.
    """
    for each in retired(folder):
        if each.origin == origin:
            raise ConfigInvalid(
                f"cannot sign as {origin!r}: that name ended at {each.head.size} entries, when the "
                "loss of some of them was accepted; set event_log.origin to the name that was "
                "given then (see the newest entry of kind 'restore')"
            )


def retire(folder: Path, last: SignedHead) -> Path:
    """Move the keys of a name aside, the file that speaks of the loss last; may be repeated.

    Raises:
        StorageUnavailable: a file cannot be moved.
    """
    place = folder / f"{RETIRED}{last.head.size:015d}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        files = sorted(folder.glob(KEY_NAME + "*"), key=lambda path: path.name.endswith(LAST))
        for path in files:
            path.rename(place / path.name)
        sync_folder(place)
        sync_folder(folder)
    except OSError as exc:
        raise StorageUnavailable(
            f"cannot move the keys of {last.origin!r} to {str(place)!r}: {exc.strerror}; "
            "check the folder and repeat the command"
        ) from exc
    return place
