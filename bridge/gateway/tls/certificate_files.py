"""Read certificates and keys from files, and say what is wrong with them."""

import os
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from bridge.gateway.tls.certificate_names import normal_name
from bridge.model.errors import ConfigInvalid

FILE_BYTES_MAX: Final = 1 << 20
"""A bundle of all public authorities is a quarter of this."""

Stamp = tuple[tuple[str, int, int, int], ...]
"""What changes when one of some files is replaced: path, inode, size and time of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFiles:
    """Where one certificate stands."""

    cert_file: Path
    """PEM: the certificate first, then those between it and the root."""
    key_file: Path
    """PEM, without a passphrase, readable by its owner only."""
    names: tuple[str, ...] = ()
    """Names it is served for; those that it certifies when empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What an operator wants to know of a certificate."""

    file: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime


def stamp(files: Iterable[Path]) -> Stamp:
    """Return the stamp of some files; one that cannot be seen has zeros."""
    found = []
    for path in files:
        try:
            at = path.stat()
        except OSError:
            found.append((str(path), 0, 0, 0))
        else:
            found.append((str(path), at.st_ino, at.st_size, at.st_mtime_ns))
    return tuple(found)


def read_facts(cert_file: Path) -> CertificateFacts:
    """Return the facts of the first certificate of a file.

    Raises:
        ConfigInvalid: there is none.
    """
    certificate = _first(cert_file)
    return CertificateFacts(
        file=str(cert_file),
        names=_certified(certificate),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


def check_files(files: CertificateFiles, now: datetime | None) -> CertificateFacts:
    """Check that certificate and key belong together, and that it is in force `now`, if given.

    Raises:
        ConfigInvalid: it must not be used.
    """
    certificate = _first(files.cert_file)
    what = f"cannot use certificate {str(files.cert_file)!r}"
    refuse_open_key(files.key_file)
    try:
        key = load_pem_private_key(_read(files.key_file), None)
    except (ValueError, TypeError) as exc:
        # `TypeError` is a passphrase, which nobody could type here.
        raise ConfigInvalid(
            f"{what}: {str(files.key_file)!r} holds no PEM key without a passphrase"
        ) from exc
    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if key.public_key().public_bytes(*spki) != certificate.public_key().public_bytes(*spki):
        raise ConfigInvalid(f"{what}: the key of {str(files.key_file)!r} is not its key")
    facts = read_facts(files.cert_file)
    if now is not None and now >= facts.not_after:
        raise ConfigInvalid(f"{what}: it has expired at {facts.not_after:%Y-%m-%d %H:%M} UTC")
    if now is not None and now < facts.not_before:
        raise ConfigInvalid(f"{what}: it is valid from {facts.not_before:%Y-%m-%d %H:%M} UTC on")
    return facts


def served_names(files: CertificateFiles, facts: CertificateFacts) -> tuple[str, ...]:
    """Return the normal names that a certificate is served for.

    Raises:
        ConfigInvalid: a declared name is no DNS name, or there is none at all.
    """
    given = files.names or facts.names
    names = []
    for name in given:
        normal = normal_name(name)
        if normal is None and files.names:
            raise ConfigInvalid(
                f"cannot use certificate {str(files.cert_file)!r}: {name!r} is no DNS name;"
                " a wildcard stands for the first label alone, as in '*.shop.example'"
            )
        if normal is not None:
            names.append(normal)
    return tuple(names)


def refuse_open_key(path: Path) -> None:
    """Refuse a key file that others can read.

    Raises:
        ConfigInvalid: it cannot be read by us, or can by everybody.
    """
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        raise ConfigInvalid(f"cannot read key {str(path)!r}: {exc.strerror}") from exc
    if mode & 0o007 or not os.access(path, os.R_OK):
        raise ConfigInvalid(
            f"cannot use key {str(path)!r}: its mode is {mode & 0o777:04o}; it must be readable by"
            " us and by nobody outside its group (chmod 0600)"
        )


def load_chain(context: ssl.SSLContext, files: CertificateFiles) -> None:
    """Load certificate and key into a context.

    Raises:
        ConfigInvalid: they cannot be loaded.
    """
    try:
        # A passphrase would be asked for on a terminal that a service has not.
        context.load_cert_chain(files.cert_file, files.key_file, password=lambda: b"")
    except (OSError, ssl.SSLError) as exc:
        raise ConfigInvalid(
            f"cannot load certificate {str(files.cert_file)!r}: {_reason(exc)}"
        ) from exc


def load_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    """Load the certificates that a context trusts.

    Raises:
        ConfigInvalid: the file holds none.
    """
    data = _read(ca_file)
    try:
        context.load_verify_locations(cadata=data.decode("ascii"))
    except (ValueError, ssl.SSLError) as exc:
        raise ConfigInvalid(
            f"cannot load authorities {str(ca_file)!r}: {_reason(exc)}; it must hold PEM"
            " certificates"
        ) from exc


def _first(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(_read(path))[0]
    except ValueError as exc:
        raise ConfigInvalid(
            f"cannot read certificate {str(path)!r}: it holds no PEM certificate"
        ) from exc


def _certified(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    found: Sequence[str] = names.get_values_for_type(x509.DNSName)
    return tuple(found)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as exc:
        raise ConfigInvalid(f"cannot read {str(path)!r}: {exc.strerror}") from exc
    if len(data) > FILE_BYTES_MAX:
        raise ConfigInvalid(f"cannot read {str(path)!r}: it has more than {FILE_BYTES_MAX} bytes")
    return data


def _reason(exc: Exception) -> str:
    return getattr(exc, "reason", None) or type(exc).__name__


def utc_now() -> datetime:
    """Return the present time, which decides whether a certificate is in force."""
    return datetime.now(UTC)
