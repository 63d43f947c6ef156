"""The TLS side of a listener: the profile, and what goes wrong with certificate files, in words."""

import socket
import ssl
import threading

import pytest

from lbjwt.net.certificate import BackendTls, BackendTlsSettings, Certificate
from lbjwt.net.tls import TLSError, server_context


def handshake(context, client):
    """Version, suite and ALPN of a handshake over a socket pair."""
    left, right = socket.socketpair()
    left.settimeout(5)
    right.settimeout(5)

    def serve():
        try:
            with context.wrap_socket(left, server_side=True):
                pass
        except OSError:
            pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(right, server_hostname="localhost") as tls:
            return tls.version(), tls.cipher()[0], tls.selected_alpn_protocol()
    finally:
        right.close()
        left.close()
        thread.join()


def client_context(files):
    context = ssl.create_default_context(cafile=str(files / "cert.pem"))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def test_tls_13_by_default_and_12_when_asked(files):
    """A modern client gets TLS 1.3, an older one TLS 1.2 with a forward-secret AEAD suite; ALPN is http/1.1."""
    context = server_context(files / "cert.pem", files / "key.pem", key="listeners[0].tls")
    client = client_context(files)
    assert handshake(context, client)[::2] == ("TLSv1.3", "http/1.1")
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    version, suite, _ = handshake(context, client)
    assert version == "TLSv1.2"
    assert suite.startswith("ECDHE-ECDSA-")


def test_old_versions_and_weak_suites_are_refused(files):
    """TLS 1.1 and a suite without forward secrecy end in a failed handshake (RFC 9325 sections 3.1.1 and 4.1)."""
    context = server_context(files / "cert.pem", files / "key.pem", key="k")
    assert {cipher["protocol"] for cipher in context.get_ciphers()} <= {"TLSv1.2", "TLSv1.3"}
    for cipher in context.get_ciphers():
        assert cipher["aead"], cipher["name"]
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_NO_COMPRESSION
    weak = client_context(files)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-SHA:AES128-GCM-SHA256")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(context, weak)


@pytest.mark.parametrize(
    ("certificate", "private_key", "sentence"),
    [
        ("missing.pem", "key.pem", r"listeners\[0\].tls.certificate: cannot read .*missing.pem: No such file"),
        ("cert.pem", "missing.pem", r"tls.private_key: cannot read .*missing.pem: No such file"),
        ("cert.pem", "other.pem", "other.pem does not belong to the certificate .*cert.pem"),
        ("cert.pem", "small.pem", "small.pem does not belong to the certificate .*cert.pem"),
        ("cert.pem", "locked.pem", r"tls.private_key: .*locked.pem is encrypted"),
        ("cert.pem", "noise.pem", r"tls.private_key: .*noise.pem is not a PEM file"),
        ("noise.pem", "key.pem", r"tls.certificate: .*noise.pem is not a PEM file"),
        ("small-cert.pem", "small.pem", "small-cert.pem is too small"),
        ("cert.pem", "half.pem", r"listeners\[0\].tls: "),
        ("key.pem", "cert.pem", r"tls.certificate: .*key.pem contains no certificate"),
        ("cert.pem", "cert.pem", r"tls.private_key: .*cert.pem contains no private key"),
        (".", "key.pem", "not a regular file"),
    ],
)
def test_what_is_wrong_with_the_files(files, certificate, private_key, sentence):
    """Each mistake with the two files is a sentence with the configuration key and the file."""
    with pytest.raises(TLSError, match=sentence):
        server_context(files / certificate, files / private_key, key="listeners[0].tls")


@pytest.mark.parametrize(
    ("certificate", "private_key"), [("cert.pem", "other.pem"), ("noise.pem", "key.pem"), ("missing.pem", "key.pem")]
)
def test_a_process_that_takes_anothers_place_begins_with_what_that_had(
    files, tmp_path, caplog, certificate, private_key
):
    """Files that cannot be used are logged, and used once they are mended; with nothing kept they are an error."""
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    for path, name in zip(paths, (certificate, private_key), strict=True):
        if (files / name).exists():
            path.write_bytes((files / name).read_bytes())
    kept = [(files / "cert.pem").read_bytes(), (files / "key.pem").read_bytes()]
    with pytest.raises(TLSError):
        Certificate(*paths, key="listeners[0].tls")
    made = Certificate(*paths, key="listeners[0].tls", kept=lambda asked: kept if asked == paths else ())
    assert handshake(made.context, client_context(files))
    assert made.contents == tuple(kept) and "what was in force before stays in use" in caplog.text
    assert not made.has_new_files()
    for path, name in zip(paths, ("small-cert.pem", "small.pem"), strict=True):
        path.write_bytes((files / name).read_bytes())
    with pytest.raises(TLSError, match="too small"):
        made.renew()
    for path, content in zip(paths, kept, strict=True):
        path.write_bytes(content)
    assert made.renew() is None and made.is_current()


def test_authorities_and_a_client_certificate_are_kept_too(files, tmp_path):
    """Each where it belongs."""
    settings = BackendTlsSettings(
        ca=tmp_path / "ca.pem", certificate=tmp_path / "c.pem", private_key=tmp_path / "k.pem"
    )
    kept = [(files / name).read_bytes() for name in ("small-cert.pem", "cert.pem", "key.pem")]
    made = BackendTls(settings, key="clusters.main.tls", kept=lambda asked: kept)
    assert made.context.cert_store_stats()["x509"] == 1 and made.contents == tuple(kept)


def test_a_session_of_one_listener_is_no_session_of_another(files):
    """A ticket from one context is not accepted by a second one with the same certificate (CVE-2025-23419)."""
    client = client_context(files)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    first = server_context(files / "cert.pem", files / "key.pem", key="k")
    second = server_context(files / "cert.pem", files / "key.pem", key="k")

    def resumed(context, session):
        left, right = socket.socketpair()
        left.settimeout(5)
        right.settimeout(5)
        thread = threading.Thread(target=lambda: context.wrap_socket(left, server_side=True).close())
        thread.start()
        with client.wrap_socket(right, server_hostname="localhost", session=session) as tls:
            result = tls.session_reused, tls.session
        thread.join()
        left.close()
        return result

    _, session = resumed(first, None)
    assert resumed(first, session)[0]
    assert not resumed(second, session)[0]
