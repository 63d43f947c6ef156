"""
The `ssl.SSLContext` of a listener, and that of a cluster towards its endpoints, both with the profile of RFC 9325.

TLS 1.2 and 1.3 only; for 1.2 only forward-secret AEAD suites (RFC 9325 section 4.2); no compression (section 3.3, CRIME), no renegotiation
(section 3.5). Each listener's context has session-ticket keys of its own, so a ticket of one opens no session on another (CVE-2025-23419).
"""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from lbjwt.errors import LbjwtError
from lbjwt.files import read_regular

CIPHERS: Final = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""For TLS 1.2; the suites of TLS 1.3 are all good and stay at OpenSSL's choice."""

MAX_PEM: Final = 1 << 20
"""Bytes of a PEM file that are read; a chain has some 10 KiB."""


class TLSError(LbjwtError):
    """A certificate or private key that cannot be used; the message names the configuration key, the file and the cause."""


def server_context(certificate: Path, private_key: Path, *, key: str, http2: bool = False) -> ssl.SSLContext:
    """
    Return the context of a listener.

    Args:
        certificate: PEM file, the certificate first, then its chain.
        private_key: PEM file, not encrypted.
        key: Configuration key of the TLS section, for the error message.
        http2: Offer HTTP/2 before HTTP/1.1 (ALPN, RFC 7301).

    Raises:
        TLSError: A file is missing, unreadable, not PEM, encrypted, too weak, or the two do not belong together.
    """
    context = _context(ssl.PROTOCOL_TLS_SERVER)
    if http2:
        context.set_alpn_protocols(["h2", "http/1.1"])
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    _load_pair(context, certificate, private_key, key)
    return context


def client_context(
    *,
    ca: Path | None,
    certificate: Path | None,
    private_key: Path | None,
    verify: bool,
    key: str,
    alpn: Sequence[str] = ("http/1.1",),
) -> ssl.SSLContext:
    """
    Return the context of connections to endpoints. With `verify` it checks the name that each connection expects.

    Args:
        ca: PEM file of the only trusted authorities; a certificate in it need not be self-signed. None: those of the system.
        certificate: PEM file, the client certificate first, then its chain; None for no certificate.
        private_key: PEM file, not encrypted; given together with `certificate`.
        key: As for `server_context`.
        alpn: Protocols that are offered, the preferred one first.

    Raises:
        TLSError: A file is missing, unreadable, not PEM, encrypted, too weak, or certificate and key do not belong together.
    """
    context = _context(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(list(alpn))
    context.hostname_checks_common_name = False  # RFC 9525 section 6.3: only the alternative names are names
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _read_pem(ca, f"{key}.ca", "certificate")
        try:
            context.load_verify_locations(cafile=ca)
        except (ssl.SSLError, OSError):
            raise TLSError(f"{key}.ca: {ca} contains no readable certificate authority") from None
    if certificate is not None and private_key is not None:
        _load_pair(context, certificate, private_key, key)
    return context


def _context(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _read_pem(path: Path, key: str, words: str) -> None:
    try:
        content, _ = read_regular(path, MAX_PEM)
    except OSError as error:
        raise TLSError(f"{key}: cannot read {path}: {error.strerror}") from None
    if b"-----BEGIN " not in content:
        raise TLSError(f"{key}: {path} is not a PEM file")
    if words.upper().encode() + b"-----" not in content:
        raise TLSError(f"{key}: {path} contains no {words}")


def _load_pair(context: ssl.SSLContext, certificate: Path, private_key: Path, key: str) -> None:
    def encrypted() -> NoReturn:
        raise TLSError(
            f"{key}.private_key: {private_key} is encrypted, and nobody can enter a password when lbjwt starts; write it unencrypted, mode 0600"
        )

    for path, name in ((certificate, "certificate"), (private_key, "private_key")):
        _read_pem(path, f"{key}.{name}", name.replace("_", " "))
    try:
        context.load_cert_chain(certificate, private_key, password=encrypted)
    except (ssl.SSLError, OSError) as error:
        raise TLSError(_explain(error, certificate, private_key, key)) from None


def _explain(error: OSError, certificate: Path, private_key: Path, key: str) -> str:
    match getattr(error, "reason", None):
        case "KEY_VALUES_MISMATCH" | "KEY_TYPE_MISMATCH" | "NO_CERTIFICATE_ASSIGNED":
            if number := _whose_certificate(certificate, private_key):
                return (
                    f"{key}.certificate: the certificates in {certificate} are in the wrong order: the one for the private key is number {number}. "
                    "Put it first, then the one that signed it, and so on"
                )
            return f"{key}: the private key {private_key} does not belong to the certificate {certificate}"
        case "EE_KEY_TOO_SMALL" | "CA_KEY_TOO_SMALL":
            return f"{key}.certificate: the key of {certificate} is too small"
        case "CA_MD_TOO_WEAK":
            return f"{key}.certificate: the signature of {certificate} uses a digest that is too weak"
        case str(reason):
            return f"{key}: {certificate} and {private_key} cannot be used ({reason.replace('_', ' ').lower()})"
    return f"{key}: {certificate} and {private_key} contain no readable certificate and private key"


def _whose_certificate(certificate: Path, private_key: Path) -> int:
    """The number in its file, from 1, of the certificate that belongs to a private key; 0 for none."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    try:
        public = load_pem_private_key(read_regular(private_key, MAX_PEM)[0], None).public_key()
        chain = load_pem_x509_certificates(read_regular(certificate, MAX_PEM)[0])
        return next((number for number, one in enumerate(chain, 1) if one.public_key() == public), 0)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return 0
