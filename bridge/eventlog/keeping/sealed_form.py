"""The form of sealed portions in payload and leaf, as `docs/bundle-format.md` describes it. Pure.

AES-256-GCM (NIST SP 800-38D) does not commit to its key, so the leaf has the plaintext's hash; 32
random bytes in front of the values keep that hash from being guessed.
"""

import base64
import binascii
from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.model.errors import LogCorrupt
from bridge.model.sealing import SealedMark

SALT_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""The length that GCM is made for; each key seals few portions, so chance does not repeat one."""
RANDOM_BYTES: Final = SALT_BYTES + NONCE_BYTES
"""What `seal` needs of chance for each portion."""

_MARKED: Final = b'"sealed":['
_SEALED: Final = ',"sealed":"'
_BETWEEN: Final = '","sealedpaths":"'


class Item(NamedTuple):
    """One sealed portion of a stored entry."""

    leaf_index: int
    event_id: str
    key_id: str
    box: bytes
    """Nonce, ciphertext and tag."""
    paths: tuple[str, ...]
    """JSON Pointers into `data`: what is hidden."""
    commit: str
    subject: str


def seal(
    key: AESGCM, key_id: str, subject: str, event_id: str, values: bytes, chance: bytes
) -> tuple[str, SealedMark]:
    """Return the item as it stands in the payload, and its mark.

    `values` is a JSON object; `chance` are `RANDOM_BYTES` fresh random bytes.
    """
    plaintext = chance[:SALT_BYTES] + values
    nonce = chance[SALT_BYTES:]
    box = nonce + key.encrypt(nonce, plaintext, bound_to(event_id, key_id))
    text = base64.urlsafe_b64encode(box).rstrip(b"=").decode()
    return f"{key_id}.{text}", SealedMark(sha256(plaintext).hexdigest(), key_id, subject)


def attributes(items: Sequence[str], paths: Sequence[Sequence[str]]) -> bytes:
    """Return the CloudEvents attributes of sealed portions, as JSON text behind a comma."""
    hidden = " ".join(_hidden(tuple(some)) for some in paths)
    return b',"sealed":"%b","sealedpaths":"%b"' % (" ".join(items).encode(), hidden.encode())


# A contract has few shapes of rows; parked tables come and go.
@lru_cache(maxsize=1_000)
def _hidden(paths: tuple[str, ...]) -> str:
    """Return pointers as one word, percent-encoded as in RFC 6901 section 6."""
    return ",".join(quote(path, safe="/~") for path in paths)


@lru_cache(maxsize=1_000)
def _paths(hidden: str) -> tuple[str, ...]:
    return tuple(map(unquote, hidden.split(",")))


def without_sealed(payload: str) -> tuple[str, str, str] | None:
    """Return a payload without its two attributes, and these; None when it has none.

    They stand behind the data, and within a JSON text a quotation mark is escaped: so the last
    place where they seem to begin is the one.
    """
    start = payload.rfind(_SEALED)
    sealed_end = payload.find('"', start + len(_SEALED))
    if start < 0 or not payload.startswith(_BETWEEN, sealed_end):
        return None
    paths_start = sealed_end + len(_BETWEEN)
    paths_end = payload.find('"', paths_start)
    sealed = payload[start + len(_SEALED) : sealed_end]
    return payload[:start] + payload[paths_end + 1 :], sealed, payload[paths_start:paths_end]


def bound_to(event_id: str, key_id: str) -> bytes:
    """Return the additional data of a portion: it opens in its own event only."""
    return f"{event_id}\n{key_id}".encode()


def is_sealed(leaf: bytes) -> bool:
    """Whether an entry may have sealed portions; quick, and never False for one that has."""
    return _MARKED in leaf


def items(leaf_index: int, leaf: bytes, sealed: str, sealed_paths: str) -> list[Item]:
    """Return the sealed portions of an entry; `sealed` and `sealed_paths` are its attributes.

    Raises:
        LogCorrupt: leaf and payload do not agree.
    """
    told = orjson.loads(leaf)
    marks = told["fields"].get("sealed", [])
    texts, hidden = sealed.split(" "), sealed_paths.split(" ")
    if not len(marks) == len(texts) == len(hidden):
        raise LogCorrupt(
            f"cannot read the sealed fields of entry {leaf_index}: its leaf has {len(marks)} of "
            f"them, its payload {len(texts)}"
        )
    found = []
    for mark, text, some in zip(marks, texts, hidden, strict=True):
        key_id, _, encoded = text.partition(".")
        try:
            box = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        except (binascii.Error, ValueError):
            box = b""
        if key_id != mark["key"] or len(box) <= NONCE_BYTES:
            raise LogCorrupt(
                f"cannot read the sealed fields of entry {leaf_index}: leaf and payload do not "
                "name the same keys"
            )
        paths = _paths(some)
        found.append(
            Item(leaf_index, told["id"], key_id, box, paths, mark["commit"], mark["subject"])
        )
    return found


def open_item(item: Item, key: AESGCM) -> bytes:
    """Return the plaintext of a portion: 32 random bytes and a JSON object.

    Raises:
        LogCorrupt: the key does not fit, or it is not what the leaf commits to.
    """
    nonce, ciphertext = item.box[:NONCE_BYTES], item.box[NONCE_BYTES:]
    try:
        plaintext = key.decrypt(nonce, ciphertext, bound_to(item.event_id, item.key_id))
    except InvalidTag:
        plaintext = b""
    if sha256(plaintext).hexdigest() != item.commit:
        raise LogCorrupt(
            f"cannot open the sealed fields of entry {item.leaf_index}: key {item.key_id!r} does "
            "not give what the leaf commits to"
        )
    return plaintext
