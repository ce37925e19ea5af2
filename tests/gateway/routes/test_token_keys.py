"""Bearer tokens: the vectors of RFC 7515 and RFC 8037, and what must not be believed."""

import base64
import hmac
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.routes.token_keys import TokenKeys, claim_of

# RFC 7515 A.1 (HS256).
HS_KEY = {
    "kty": "oct",
    "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
}
HS_TOKEN = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
# RFC 7515 A.2 (RS256).
RS_KEY = {
    "kty": "RSA",
    "e": "AQAB",
    "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt"
    "0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5re"
    "xMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK"
    "-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
}
RS_TOKEN = (
    "eyJhbGciOiJSUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5juj"
    "Gbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7"
    "K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np"
    "6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
)
# RFC 7515 A.3 (ES256).
ES_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
ES_TOKEN = (
    "eyJhbGciOiJFUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)
# RFC 8037 A.4 (Ed25519); its payload is no JSON.
ED_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
ED_SIGNED = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
ED_SIGNATURE = (
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
BY_KEY = ((HS_KEY, HS_TOKEN), (RS_KEY, RS_TOKEN), (ES_KEY, ES_TOKEN))


def keys(*jwks: dict[str, Any]) -> TokenKeys:
    """Return the keys of a JWK set."""
    return TokenKeys.parse(json.dumps({"keys": jwks}).encode())


def part(value: bytes | dict[str, Any]) -> str:
    """Return one part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize(("key", "token"), BY_KEY, ids=["A.1", "A.2", "A.3"])
def test_vectors_of_rfc_7515(key: dict[str, Any], token: str) -> None:
    trusted = keys(key)
    assert claim_of(f"Bearer {token}", "iss", trusted) == "joe"
    assert claim_of(f"bearer  {token}", "exp", trusted) == "1300819380"
    head, claims, signature = token.split(".")
    forged = part({"iss": "eve"})
    assert claim_of(f"Bearer {head}.{forged}.{signature}", "iss", trusted) is None
    assert claim_of(f"Bearer {head}.{forged}.{signature}", "iss", None) == "eve", "nobody asked"
    assert claim_of(f"Bearer {head}.{claims}.{signature[:-4]}", "iss", trusted) is None
    others = keys(*(other for other, _ in BY_KEY if other is not key))
    assert claim_of(f"Bearer {token}", "iss", others) is None


def test_vector_of_rfc_8037() -> None:
    signature = base64.urlsafe_b64decode(ED_SIGNATURE + "==")
    assert keys(ED_KEY).verifies(ED_SIGNED, signature, "EdDSA", None)
    assert not keys(ED_KEY).verifies(ED_SIGNED + b"x", signature, "EdDSA", None)
    assert not keys(ED_KEY).verifies(ED_SIGNED, signature, "ES256", None)


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {},
        {"alg": ["RS256"]},
        {"alg": "RS256", "crit": ["b64"], "b64": False},
        {"alg": "RS256", "kid": 7},
    ],
)
def test_headers_that_prove_nothing(header: dict[str, Any]) -> None:
    token = f"{part(header)}.{part({'iss': 'eve'})}."
    assert claim_of(f"Bearer {token}", "iss", keys(RS_KEY)) is None


def test_a_public_key_is_never_a_secret() -> None:
    """RFC 8725 2.1: HS256 with the text of an RSA key as its secret."""
    public = rsa.generate_private_key(65537, 2048).public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    signed = f"{part({'alg': 'HS256'})}.{part({'iss': 'eve'})}"
    signature = part(hmac.digest(pem, signed.encode(), "sha256"))
    assert claim_of(f"Bearer {signed}.{signature}", "iss", TokenKeys.parse(pem)) is None


def test_keys_are_chosen_by_their_id() -> None:
    private = Ed25519PrivateKey.generate()
    raw = private.public_key().public_bytes_raw()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": part(raw), "kid": "new"}

    def token(kid: str | None) -> str:
        head = {"alg": "EdDSA"} | ({} if kid is None else {"kid": kid})
        signed = f"{part(head)}.{part({'tenant': {'id': 'a/b'}})}"
        return f"Bearer {signed}.{part(private.sign(signed.encode()))}"

    trusted = keys(ED_KEY | {"kid": "old"}, jwk)
    assert claim_of(token("new"), "/tenant/id", trusted) == "a/b"
    assert claim_of(token(None), "/tenant/id", trusted) == "a/b"
    assert claim_of(token("old"), "/tenant/id", trusted) is None
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert claim_of(token("any"), "/tenant/id", TokenKeys.parse(pem)) == "a/b"


@pytest.mark.parametrize(
    ("authorization", "name"),
    [
        (None, "iss"),
        ("", "iss"),
        ("Basic eyJhIjoxfQ", "iss"),
        (f"Bearer {HS_TOKEN}.x", "iss"),
        (f"Bearer {HS_TOKEN}", "nobody"),
        (f"Bearer {HS_TOKEN}", "http://example.com/is_root"),
        (f"Bearer {HS_TOKEN.replace('-', '+')}", "iss"),
        (f"Bearer e30.{part(b'[1]')}.", "iss"),
        (f"Bearer e30.{part(b'{')}.", "iss"),
        (f"Bearer e30.{part(b'[' * 9_000)}.", "iss"),
        ("Bearer " + "a" * 20_000, "iss"),
    ],
)
def test_without_a_claim_there_is_no_key(authorization: str | None, name: str) -> None:
    assert claim_of(authorization, name, None) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither a JWK set nor a PEM"),
        (b"[]", "has no 'keys'"),
        (b'{"keys": []}', "has no 'keys'"),
        (b'{"keys": [1]}', "no JWK"),
        (b'{"kty": "oct", "k": "c2hvcnQ"}', "below 32 bytes"),
        (b'{"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA"}', "not known"),
        (b'{"kty": "RSA", "e": "AQAB", "n": "AQAB"}', "cannot be used|below 2048 bits"),
        (b"-----BEGIN PUBLIC KEY-----\nxx\n-----END PUBLIC KEY-----\n", "no PEM public key"),
        (json.dumps(RS_KEY | {"alg": "PS512"}).encode(), "a key for 'PS512'"),
    ],
)
def test_key_files_that_cannot_be_meant(content: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TokenKeys.parse(content)


@given(text=st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: f"a.{part(raw)}.b"))
def test_nothing_that_is_sent_is_an_error(text: str) -> None:
    claim_of(f"Bearer {text}", "iss", keys(RS_KEY, ES_KEY, HS_KEY, ED_KEY))
    claim_of(f"Bearer {text}", "/a/b", None)
