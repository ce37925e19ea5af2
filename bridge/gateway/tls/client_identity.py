"""What a client's certificate tells an application, as field lines.

`Client-Cert` is RFC 9440's; the others are named by the deployment, out of names that are always
taken from untrusted clients (`http.fields.IDENTITY_PREFIXES`), so that none can be forged.
"""

import base64
import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from bridge.model.http import Headers

if TYPE_CHECKING:
    from cryptography import x509

IdentityPart: TypeAlias = Literal["certificate", "subject", "san", "fingerprint"]

# An application's limit for one field line is often 8 KB; identities are short.
_VALUE_BYTES_MAX: Final = 4_096
_VISIBLE: Final = frozenset(range(0x20, 0x7F)) - frozenset(b"%")


def identity_fields(certificate: bytes, fields: Mapping[IdentityPart, str]) -> Headers:
    """Return the fields for a verified certificate (DER); `fields` are names by part."""
    # Imported where it is needed: whoever reads settings knows this module.
    from cryptography import x509

    parsed = x509.load_der_x509_certificate(certificate)
    pairs = []
    for part, name in fields.items():
        if part == "certificate":
            # An RFC 8941 byte sequence; too long a line is the application's to refuse.
            value = b":%b:" % base64.b64encode(certificate)
        elif part == "subject":
            value = _escaped(parsed.subject.rfc4514_string())
        elif part == "san":
            value = b", ".join(_alternatives(parsed))
        else:
            value = hashlib.sha256(certificate).hexdigest().encode("ascii")
        if part == "certificate" or 0 < len(value) <= _VALUE_BYTES_MAX:
            # A cut identity could be somebody else's: rather none.
            pairs.append((name.encode("ascii"), value))
    return tuple(pairs)


def _alternatives(certificate: "x509.Certificate") -> list[bytes]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    found = []
    for name in names:
        if isinstance(name, x509.DNSName):
            found.append(b"dns:" + _escaped(name.value, comma=True))
        elif isinstance(name, x509.UniformResourceIdentifier):
            found.append(b"uri:" + _escaped(name.value, comma=True))
        elif isinstance(name, x509.RFC822Name):
            found.append(b"email:" + _escaped(name.value, comma=True))
        elif isinstance(name, x509.IPAddress):
            found.append(b"ip:" + _escaped(str(name.value)))
    return found


def _escaped(text: str, *, comma: bool = False) -> bytes:
    """Percent-encode what is not visible ASCII, and the separator of lists."""
    return b"".join(
        b"%%%02X" % byte if byte not in _VISIBLE or (comma and byte == 0x2C) else bytes((byte,))
        for byte in text.encode("utf-8")
    )
