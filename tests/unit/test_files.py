"""Files that are no regular files: refused at once, by `check` under their keys and at the start, and never waited for."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lbjwt.cli import main
from lbjwt.files import open_regular, read_regular

SERVICE = """
listeners: [{address: "127.0.0.1:0"%s}]
issuers: {main: {issuer: https://a.example, audiences: [api], %s}}
clusters: {main: {endpoints: [{address: "127.0.0.1:9"}]}}
"""
KEYS = "jwks: {keys: []}"
REMOTE = "remote_jwks: {uri: https://a.example/jwks"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a FIFO that nobody writes to."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    return tmp_path


def test_only_regular_files_are_opened(place: Path) -> None:
    """A FIFO, a directory, a socket and a device are not; a file behind two links, as Kubernetes mounts a secret, is."""
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(place / "socket"))
        for path in (place / "fifo", place, place / "socket", Path("/dev/null")):
            for flags in (os.O_RDONLY, os.O_WRONLY):
                with pytest.raises(OSError, match=r"not a regular file|Is a directory") as caught:
                    open_regular(path, flags)
                assert caught.value.filename == str(path)
    (place / "..2026").mkdir()
    (place / "..2026" / "secret").write_bytes(b"12345678")
    (place / "..data").symlink_to("..2026")
    (place / "secret").symlink_to("..data/secret")
    assert read_regular(place / "secret", 8)[0] == b"12345678"
    assert read_regular(place / "secret", 4)[0] == b"12345"
    with pytest.raises(OSError, match="symbolic link, which lbjwt does not follow"):
        open_regular(place / "secret", os.O_RDONLY | os.O_NOFOLLOW)


@pytest.mark.parametrize(
    ("key", "listener", "issuer", "after"),
    [
        ("issuers.main.secret_file", "", "secret_file: fifo, algorithms: [HS256]", ""),
        ("issuers.main.secret_files[0]", "", "secret_files: [fifo], algorithms: [HS256]", ""),
        ("issuers.main.jwks_file", "", "jwks_file: fifo", ""),
        ("issuers.main.pem_file", "", "pem_file: fifo", ""),
        ("issuers.main.remote_jwks.ca_file", "", REMOTE + ", ca_file: fifo}", ""),
        ("issuers.main.remote_jwks.bearer_token_file", "", REMOTE + ", bearer_token_file: fifo}", ""),
        (
            "issuers.main.remote_jwks.client_certificate",
            "",
            REMOTE + ", client_certificate: fifo, client_key: fifo}",
            "",
        ),
        ("listeners[0].tls.certificate", ", tls: {certificate: fifo, private_key: fifo}", KEYS, ""),
        ("listeners[0].tls.private_key", ", tls: {certificate: c.pem, private_key: fifo}", KEYS, ""),
        ("revocation.file", "", KEYS, "revocation: {file: fifo}\n"),
    ],
    ids=lambda value: value if "[" in value or "." in value else "",
)
def test_a_fifo_is_told(place: Path, key: str, listener: str, issuer: str, after: str) -> None:
    """At once: opened as other files are, it would be waited for without end."""
    (place / "c.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    (place / "lbjwt.yaml").write_text(SERVICE % (listener, issuer) + after)
    told = CliRunner().invoke(main, ["check", str(place / "lbjwt.yaml")])
    assert told.exit_code == 2
    assert f"{key}: cannot read " in told.stderr and "/fifo: it is not a regular file" in told.stderr
    if key in ("issuers.main.secret_file", "listeners[0].tls.private_key", "revocation.file"):
        run = [sys.executable, "-m", "lbjwt", "serve", str(place / "lbjwt.yaml")]
        done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode in (1, 2)
        assert "it is not a regular file" in done.stderr
