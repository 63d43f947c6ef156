"""A worker that dies while files on disk are broken: the one that takes its place begins with what was in force."""

import http.client
import os
import signal
import ssl
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from joserfc import jwe
from joserfc.jwk import ECKey

from tests.harness.procfs import children, name_of
from tests.harness.waiting import eventually
from tests.integration.authority import Authority
from tests.integration.serve_scene import JWKS, Serve, serve, token

__all__ = ["serve"]

SECRET = "correct-horse-battery-staple"
DECRYPTS = ECKey.generate_key("P-256", {"kid": "e1"}, private=True)


def ask(port: int, authority: Authority, *, secret: str = SECRET, encrypted: bool = True) -> int:
    """What an authorizing listener answers to a proxy that trusts this authority; 0: the certificate is of another one."""
    bearer = token()
    if encrypted:
        header = {"alg": "ECDH-ES", "enc": "A128GCM", "cty": "JWT", "kid": "e1"}
        bearer = jwe.encrypt_compact(header, bearer.encode(), DECRYPTS)
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    with closing(http.client.HTTPSConnection("localhost", port, context=context, timeout=30)) as connection:
        try:
            connection.request("GET", "/", headers={"Authorization": f"Bearer {bearer}", "X-Lbjwt-Secret": secret})
        except ssl.SSLCertVerificationError:
            return 0
        return connection.getresponse().status


def test_a_worker_is_replaced_whatever_the_files_hold(serve: Callable[..., Serve], tmp_path: Path) -> None:
    """
    Certificate, private key, authority of endpoints, verification keys, decryption key and the secret of a proxy are broken or gone when the only
    worker is killed. The next one serves as it did, and uses what is mended later.
    """
    before, after = Authority(tmp_path, "before"), Authority(tmp_path, "after")
    certificate, private_key = before.issue("server", names=["localhost"])
    (tmp_path / "ca.pem").write_bytes(before.ca_file.read_bytes())
    (tmp_path / "decrypt.pem").write_bytes(DECRYPTS.as_pem(private=True))
    (tmp_path / "secret").write_text(SECRET)
    served = serve(
        listeners=[
            {
                "address": "127.0.0.1:0",
                "tls": {"certificate": certificate.name, "private_key": private_key.name},
                "mode": "authorize",
                "authorize": {"profile": "envoy", "secret_file": "secret"},
            },
            {"address": "127.0.0.1:0"},
        ],
        issuers={
            "main": {
                "issuer": "i",
                "audiences": ["a"],
                "jwks_file": "jwks.json",
                "jwe": {"key_files": ["decrypt.pem"]},
            }
        },
        clusters={"main": {"endpoints": [{"address": "https://localhost:9"}], "tls": {"ca": "ca.pem"}}},
    )
    port = int(served.url().rpartition(":")[2])
    served.wait_for("ready: 1 worker")
    assert ask(port, before) == 200
    for name in (certificate.name, "ca.pem", "jwks.json", "decrypt.pem", "secret"):
        (tmp_path / name).write_text("broken")
    private_key.unlink()
    (worker,) = [pid for pid in children(served.process.pid) if name_of(pid) == "lbjwt-worker"]
    os.kill(worker, signal.SIGKILL)
    served.wait_for("all workers are ready again")
    assert ask(port, before) == ask(port, before, encrypted=False) == 200
    assert ask(port, before, secret="another-horse-battery-staple") == 403
    assert "what was in force before stays in use until the files are replaced" in served.log
    for path, source in zip((certificate, private_key), after.issue("mended", names=["localhost"]), strict=True):
        source.replace(path)
    (tmp_path / "jwks.json").write_text(JWKS)
    assert eventually(lambda: ask(port, after) == 200)
