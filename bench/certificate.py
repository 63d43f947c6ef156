"""A self-signed certificate for the TLS cases (P-256, what most sites serve today); made anew for each run."""

from __future__ import annotations

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

NAME = "bench.example"


@dataclass(frozen=True)
class Certificate:
    """Where the parts lie; ``both`` is certificate and key in one file, as HAProxy wants them."""

    certificate: Path
    private_key: Path
    both: Path


def self_signed(directory: Path) -> Certificate:
    """A certificate for NAME and 127.0.0.1, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(NAME), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    certificate = signed.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    made = Certificate(directory / "cert.pem", directory / "key.pem", directory / "both.pem")
    for path, content in (
        (made.certificate, certificate),
        (made.private_key, private),
        (made.both, certificate + private),
    ):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return made
