"""Claims of bearer tokens (JWT, RFC 7519), with or without verifying who issued them.

Without keys a claim is what the client says: good enough to sort requests by, when the application
behind verifies the token itself; never a reason to trust anybody. With keys only tokens that one of
them signed have claims here. Whether a token is still valid stays the application's question: the
data that it is about are the same before and after it expires.

Taken are RS256, ES256, EdDSA (Ed25519) and HS256, each only with a key of its own kind: the token's
`alg` can choose among keys and never how a key is used (RFC 8725 3.1).
"""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey | bytes

# Larger is no token that anybody sends in a header.
_TOKEN_BYTES_MAX: Final = 16_384
# An issuer that rotates has two or three.
_KEYS_COUNT_MAX: Final = 32
# RFC 7518 3.3 and 3.2.
_RSA_BITS_MIN: Final = 2048
_SECRET_BYTES_MIN: Final = 32
_P256_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One key of an issuer."""

    alg: str
    kid: str | None
    key: PublicKey = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The keys of a key file; equal when the files are."""

    digest: str
    keys: tuple[TokenKey, ...] = field(compare=False, repr=False)

    @classmethod
    def parse(cls, content: bytes) -> "TokenKeys":
        """Return the keys of a JWK set (RFC 7517 5), a single JWK, or a PEM public key.

        Raises:
            ValueError: it is none of these, or a key in it is weak or of another kind.
        """
        digest = hashlib.sha256(content).hexdigest()
        if content.lstrip().startswith(b"-----BEGIN"):
            try:
                key = load_pem_public_key(content)
            except (ValueError, UnsupportedAlgorithm) as exc:
                raise ValueError("is no PEM public key") from exc
            return cls(digest, (_checked(key, None),))
        try:
            tree = json.loads(content)
        except ValueError as exc:
            raise ValueError("is neither a JWK set nor a PEM public key") from exc
        found = tree.get("keys", [tree]) if isinstance(tree, dict) else None
        if not isinstance(found, list) or not 0 < len(found) <= _KEYS_COUNT_MAX:
            raise ValueError(f"has no 'keys', or more than {_KEYS_COUNT_MAX}")
        return cls(digest, tuple(_of_jwk(jwk) for jwk in found))

    def verifies(self, signed: bytes, signature: bytes, alg: str, kid: str | None) -> bool:
        """Whether one of the keys made `signature` over `signed`."""
        return any(
            _verifies(each, signed, signature)
            for each in self.keys
            if each.alg == alg and (kid is None or each.kid is None or each.kid == kid)
        )


def claim_of(authorization: str | None, name: str, keys: TokenKeys | None) -> str | None:
    """Return a claim of the bearer token in `authorization`: a text, or an integer's digits.

    `name` is a claim's name, or a JSON pointer into the claims. None when there is no such claim,
    no token that can be read, or none that one of `keys` signed.
    """
    if authorization is None or len(authorization) > _TOKEN_BYTES_MAX:
        return None
    scheme, _, token = authorization.partition(" ")
    parts = token.strip(" ").split(".")
    if scheme.lower() != "bearer" or len(parts) != 3:
        return None
    header, claims, signature = (_decoded(part) for part in parts)
    if header is None or claims is None or signature is None:
        return None
    if keys is not None:
        head = _object(header)
        kid = head.get("kid")
        alg = head.get("alg")
        # Extensions that must be understood (RFC 7515 4.1.11) are not.
        if "crit" in head or not isinstance(alg, str) or not isinstance(kid, str | None):
            return None
        signed = f"{parts[0]}.{parts[1]}".encode("ascii")
        if not keys.verifies(signed, signature, alg, kid):
            return None
    return _text_at(_object(claims), name)


def _text_at(claims: Any, name: str) -> str | None:
    names = [name]
    if name.startswith("/"):
        names = [part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")]
    value = claims
    for part in names:
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _object(raw: bytes) -> dict[str, Any]:
    try:
        tree = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return tree if isinstance(tree, dict) else {}


def _decoded(part: str) -> bytes | None:
    """Return base64url without padding (RFC 7515 2), or None; other alphabets are refused."""
    if not part.isascii() or any(sign in part for sign in "+/="):
        return None
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def _verifies(key: TokenKey, signed: bytes, signature: bytes) -> bool:
    public = key.key
    try:
        if isinstance(public, bytes):
            return hmac.compare_digest(hmac.digest(public, signed, "sha256"), signature)
        if isinstance(public, rsa.RSAPublicKey):
            public.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())
        elif isinstance(public, Ed25519PublicKey):
            public.verify(signature, signed)
        else:
            if len(signature) != 2 * _P256_BYTES:
                return False
            r, s = signature[:_P256_BYTES], signature[_P256_BYTES:]
            der = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
            public.verify(der, signed, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _of_jwk(jwk: Any) -> TokenKey:
    if not isinstance(jwk, dict):
        raise ValueError("has a key that is no JWK")
    try:
        key = _public(jwk)
    except (KeyError, TypeError, ValueError) as exc:
        raise ValueError(f"has a key that cannot be used: {exc}") from exc
    found = _checked(key, jwk.get("kid"))
    if jwk.get("alg", found.alg) != found.alg:
        raise ValueError(f"has a key for {jwk['alg']!r}; known are RS256, ES256, EdDSA, HS256")
    return found


def _public(jwk: Mapping[str, Any]) -> Any:
    kind, curve = jwk["kty"], jwk.get("crv")
    if kind == "RSA":
        return rsa.RSAPublicNumbers(_number(jwk["e"]), _number(jwk["n"])).public_key()
    if kind == "EC" and curve == "P-256":
        x, y = _number(jwk["x"]), _number(jwk["y"])
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    if kind == "OKP" and curve == "Ed25519":
        return Ed25519PublicKey.from_public_bytes(_bytes(jwk["x"]))
    if kind == "oct":
        return _bytes(jwk["k"])
    raise ValueError(f"kind {kind!r} with curve {curve!r} is not known")


def _checked(key: object, kid: str | None) -> TokenKey:
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size < _RSA_BITS_MIN:
            raise ValueError(f"has an RSA key below {_RSA_BITS_MIN} bits")
        return TokenKey("RS256", kid, key)
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return TokenKey("ES256", kid, key)
    if isinstance(key, Ed25519PublicKey):
        return TokenKey("EdDSA", kid, key)
    if isinstance(key, bytes):
        if len(key) < _SECRET_BYTES_MIN:
            raise ValueError(f"has a secret below {_SECRET_BYTES_MIN} bytes")
        return TokenKey("HS256", kid, key)
    raise ValueError("has a key of another kind than RSA, P-256 and Ed25519")


def _bytes(text: str) -> bytes:
    found = _decoded(text)
    if not found:
        raise ValueError("a value is not base64url")
    return found


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")
