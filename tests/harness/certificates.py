"""Certificates for one module: `files`, a fixture, is a directory with a good pair and every kind of bad one."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


def certify(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(PEM)
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A certificate with its key, and a key that belongs to another."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    other = ec.generate_private_key(ec.SECP256R1())
    small = rsa.generate_private_key(65537, 1024)  # noqa: S505 - too small is what the test is about
    (folder / "cert.pem").write_bytes(certify(key))
    (folder / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    (folder / "other.pem").write_bytes(other.private_bytes(PEM, PKCS8, PLAIN))
    (folder / "small-cert.pem").write_bytes(certify(small))
    (folder / "small.pem").write_bytes(small.private_bytes(PEM, PKCS8, PLAIN))
    (folder / "locked.pem").write_bytes(key.private_bytes(PEM, PKCS8, serialization.BestAvailableEncryption(b"x")))
    (folder / "noise.pem").write_bytes(b"not a key")
    (folder / "half.pem").write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    return folder
