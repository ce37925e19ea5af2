"""The request of a sample, sealed: it can be sent once more, and its path and query are data.

AES-256-GCM under a key that is derived from the key of samples (HKDF, RFC 5869), bound to the
sample's id. Credentials are left out: who sends it again brings some.
"""

import base64
from collections.abc import Callable
from typing import Final

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bridge.model.errors import ConfigInvalid
from bridge.model.http import HttpRequest

# A request line and what negotiates the answer; more is no request that a person looks at.
_BYTES_MAX: Final = 16 * 1024
_NONCE_BYTES: Final = 12
# What chooses among answers; everything else of a client stays out of the file.
_KEPT: Final = frozenset(
    (b"accept", b"accept-language", b"accept-encoding", b"content-type", b"host", b"range")
)
_SAFE: Final = frozenset((b"GET", b"HEAD"))


class RequestSeal:
    """Seals requests before they leave the worker, and opens them for who asks to repeat one."""

    def __init__(self, key: bytes, nonce: Callable[[int], bytes]) -> None:
        """`key` is the secret of samples; `nonce` gives so many random bytes."""
        derived = HKDF(SHA256(), 32, None, b"legacy-bridge sample request").derive(key)
        self._cipher = AESGCM(derived)
        self._nonce = nonce

    def seal(self, request: HttpRequest | None, sample_id: str) -> str | None:
        """Return the text that stands in a sample; None for what must not be sent again."""
        if request is None or request.method not in _SAFE or request.body:
            return None
        headers = [
            [name.decode("latin-1"), value.decode("latin-1")]
            for name, value in request.headers
            if name.lower() in _KEPT
        ]
        method, target = request.method.decode("ascii"), request.target.decode("latin-1")
        plain = orjson.dumps([method, target, headers])
        if len(plain) > _BYTES_MAX:
            return None
        nonce = self._nonce(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, plain, sample_id.encode())
        return base64.b64encode(sealed).decode("ascii")

    def unseal(self, text: object, sample_id: str) -> HttpRequest:
        """Return the request of a sample.

        Raises:
            ConfigInvalid: it has none, or the key of samples is another one now.
        """
        if not isinstance(text, str):
            raise ConfigInvalid(
                f"cannot send sample {sample_id!r} again: its request was not kept; only GET and"
                " HEAD without a body are"
            )
        sealed = base64.b64decode(text)
        try:
            plain = self._cipher.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], sample_id.encode()
            )
        except InvalidTag as exc:
            raise ConfigInvalid(
                f"cannot send sample {sample_id!r} again: its request was sealed under another key"
                " of samples"
            ) from exc
        method, target, headers = orjson.loads(plain)
        return HttpRequest(
            method=method.encode("ascii"),
            target=target.encode("latin-1"),
            headers=tuple((n.encode("latin-1"), v.encode("latin-1")) for n, v in headers),
            body=b"",
        )
