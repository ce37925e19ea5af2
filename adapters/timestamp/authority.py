"""Ask a time-stamp authority over HTTP (RFC 3161, section 3.4) and verify what it answers."""

from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import rfc3161_client
from cryptography import x509
from cryptography.x509.oid import ObjectIdentifier

from adapters.http_peer import Answer, HttpPeer, PeerUnreachable
from adapters.timestamp.reply import token_of, with_sorted_certificates
from bridge.eventlog.timestamps.ports import Token
from bridge.model.errors import ConfigInvalid, DecodeError, UpstreamUnavailable

TIMEOUT_S_DEFAULT: Final = 10.0

# A token with its certificates has 2 to 10 KB.
_ANSWER_BYTES_MAX: Final = 256 * 1024

_SHA256: Final = ObjectIdentifier("2.16.840.1.101.3.4.2.1")
_QUERY: Final = "application/timestamp-query"


class HttpTimestampAuthority:
    """Implements `TimestampAuthority`.

    Imprint and nonce of each answer are compared with the request's. With `ca_file`, the signature
    has to lead to one of its self-signed certificates, and the signer's certificate has to be for
    time stamping; without it, that is left to whoever verifies the token.
    """

    def __init__(
        self,
        name: str,
        url: str,
        *,
        ca_file: Path | None = None,
        timeout_s: float = TIMEOUT_S_DEFAULT,
    ) -> None:
        """Raises `ConfigInvalid` when `url` or `ca_file` is not what it should be."""
        self._peer = HttpPeer(
            url,
            refusal=(
                f"cannot use the address of time-stamp authority {name!r}: expected the form "
                "https://HOST[:PORT]/PATH without a user"
            ),
            timeout_s=timeout_s,
        )
        self._name = name
        self._certificates = None if ca_file is None else _certificates(name, ca_file)

    def stamp(self, data: bytes) -> Token:
        """See `TimestampAuthority.stamp`."""
        request = (
            rfc3161_client.TimestampRequestBuilder()
            .data(data)
            .hash_algorithm(rfc3161_client.HashAlgorithm.SHA256)
            .cert_request(cert_request=True)
            .build()
        )
        status, body = self._post(request.as_bytes())
        if status >= 500 or status in (408, 429):
            raise UpstreamUnavailable(
                f"cannot get a time stamp from {self._name!r}: HTTP status {status}"
            )
        if status != 200:
            raise self._refused(f"it answers HTTP status {status}")
        return self.read(request, body, data)

    def read(self, request: Any, body: bytes, data: bytes) -> Token:
        """Return the token of the answer `body` to `request`; raises `DecodeError`."""
        try:
            response = rfc3161_client.decode_timestamp_response(with_sorted_certificates(body))
            status = response.status
            if status == rfc3161_client.PKIStatus.GRANTED:
                self._check(request, response, sha256(data).digest())
                return Token(token_of(body), response.tst_info.gen_time)
            said = "; ".join(response.status_string)[:200] or "without a reason"
        except DecodeError:
            raise
        except Exception as exc:  # Three libraries read it, each with errors of its own.
            raise self._refused(
                f"its answer is no time-stamp response ({type(exc).__name__})"
            ) from exc
        raise self._refused(f"it rejects the request with status {status} ({said})")

    def _check(self, request: Any, response: Any, digest: bytes) -> None:
        imprint = response.tst_info.message_imprint
        if imprint.hash_algorithm != _SHA256 or imprint.message != digest:
            raise self._refused("its token is over something else than what was sent")
        if response.tst_info.nonce != request.nonce:
            raise self._refused("its token answers another request: the nonce differs")
        if self._certificates is None:
            return
        builder = rfc3161_client.VerifierBuilder.from_request(request)
        for certificate in self._certificates:
            if certificate.issuer == certificate.subject:
                builder = builder.add_root_certificate(certificate)
            else:
                builder = builder.add_intermediate_certificate(certificate)
        try:
            builder.build().verify(response, digest)
        except (rfc3161_client.VerificationError, ValueError) as exc:
            raise self._refused(f"its signature does not lead to ca_file ({exc})") from exc

    def _refused(self, why: str) -> DecodeError:
        return DecodeError(f"cannot use the time stamp of {self._name!r}: {why}")

    def _post(self, body: bytes) -> Answer:
        try:
            return self._peer.post(
                self._peer.path or "/",
                body,
                {"Content-Type": _QUERY},
                answer_bytes_max=_ANSWER_BYTES_MAX,
            )
        except PeerUnreachable as exc:
            raise UpstreamUnavailable(
                f"cannot reach time-stamp authority {self._name!r} at {self._peer.host}: {exc}"
            ) from exc


def _certificates(name: str, path: Path) -> list[x509.Certificate]:
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or "it holds no PEM certificate"
        raise ConfigInvalid(
            f"cannot use ca_file {str(path)!r} of time-stamp authority {name!r}: {reason}"
        ) from exc
    if not any(each.issuer == each.subject for each in found):
        raise ConfigInvalid(
            f"cannot use ca_file {str(path)!r} of time-stamp authority {name!r}: no self-signed "
            "certificate is in it"
        )
    return found
