"""Tokens as some issuers send them, through `lbjwt serve` with two workers: those of an AWS load balancer, encrypted ones, and keys from two URLs."""

from __future__ import annotations

import json
import os
import signal
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.client import Client
from tests.harness.keys import b64, new_key
from tests.harness.keyserver import Answer, KeyServer
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually
from tests.unit.auth_tokens import private_key as curve_key
from tests.unit.auth_tokens import sign
from tests.unit.encrypted_tokens import encrypt, private_jwk, recipient

TOKENS = TokenFactory()
SIGNER = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/main/50dc6c495c0c9188"
KID = "9f1b1a9e-3f1c-4e6f-8f0a-000000000001"
COGNITO = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc"
FIRST, SECOND = new_key("ES256", "one"), new_key("ES256", "two")
MACHINE = new_key("ES256", "one")


def padded(value: bytes | dict[str, Any]) -> bytes:
    """Base64url with its padding."""
    return urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def oidc_data(kid: str = KID, **header: Any) -> str:
    """The value of `x-amzn-oidc-data`: every part padded, the name of the load balancer in the header, no audience."""
    members = {"typ": "JWT", "kid": kid, "alg": "ES256", "iss": COGNITO, "client": "web", "signer": SIGNER, **header}
    payload = {"sub": "alice", "iss": COGNITO, "exp": int(time.time()) + 120, "nonce": b64(os.urandom(6))}
    signed = padded({**members, "exp": payload["exp"]}) + b"." + padded(payload)
    return (signed + b"." + padded(sign("ES256", signed, curve_key("ES256")))).decode()


def claims(issuer: str) -> dict[str, Any]:
    """Good ones of an issuer."""
    return {
        "iss": issuer,
        "aud": TOKENS.audience,
        "sub": "alice",
        "exp": int(time.time()) + 300,
        "nonce": b64(os.urandom(6)),
    }


class Stage:
    """A running balancer, its key server and its directory."""

    def __init__(self, balancer: Balancer, server: KeyServer, directory: Path) -> None:
        self.balancer = balancer
        self.server = server
        self.directory = directory

    def status(self, token: str, field: str = "Authorization: Bearer ") -> int:
        """What a request with a token gets, on a connection of its own."""
        with Client(self.balancer.port) as client:
            head = f"GET /r/x HTTP/1.1\r\nHost: h\r\n{field}{token}\r\n\r\n"
            client.send(head.encode())
            return client.response().status

    def alb(self, token: str) -> int:
        """The same with the header of a load balancer."""
        return self.status(token, "x-amzn-oidc-data: ")

    def has_refused(self, reason: str) -> bool:
        """Whether the access log has a request with that reason."""
        return f'"reason":"{reason}"' in self.balancer.access_log_path.read_text()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One for all tests here."""
    directory = tmp_path_factory.mktemp("issuers")
    pem = curve_key("ES256").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    key = directory / "decryption.jwk"
    key.touch(0o600)
    key.write_text(json.dumps(private_jwk(recipient("P-256"), kid="e1")))
    with KeyServer() as server, Backend(good) as backend:
        server.documents |= {
            f"/{KID}": lambda: pem,
            "/first": lambda: json.dumps({"keys": [FIRST.jwk()]}).encode(),
            "/second": lambda: json.dumps({"keys": [SECOND.jwk()]}).encode(),
        }
        fetch = {"cooldown": "1s", "refresh_interval": "1s", "min_refresh": "1s"}
        issuers: dict[str, Any] = {
            "main": {"jwe": {"key_files": [str(key)], "required": True}},
            "alb": {
                "issuer": COGNITO,
                "any_audience": True,
                "algorithms": ["ES256"],
                "allow_padding": True,
                "required_headers": {"signer": SIGNER, "client": "web"},
                "remote_keys": {"uri": f"{server.url}/{{kid}}"},
                "from_headers": [{"name": "x-amzn-oidc-data", "scheme": ""}],
            },
            "two": {
                "issuer": "https://two",
                "audiences": [TOKENS.audience],
                "remote_jwks": {"uri": f"{server.url}/first", "more_uris": [f"{server.url}/second"], **fetch},
            },
        }
        issuers["machines"] = {
            "issuer": "https://two",
            "audiences": ["machines"],
            "jwks": {"keys": [MACHINE.jwk()]},
            "from_headers": [{"name": "X-Machine", "scheme": ""}],
        }
        with Balancer(directory, TOKENS, [backend.address], issuers=issuers, workers=2) as balancer:
            yield Stage(balancer, server, directory)


def test_the_token_of_an_aws_load_balancer(stage: Stage) -> None:
    """Padded, with its key in PEM at `<base>/<kid>`, which is fetched once when the first token names it; `signer` must be ours."""
    assert stage.server.count(f"/{KID}") == 0
    assert [stage.alb(oidc_data()) for _ in range(6)] == [200] * 6
    assert stage.server.count(f"/{KID}") == 1
    for other in ({"signer": SIGNER + "1"}, {"client": "other"}, {"signer": None}):
        assert stage.alb(oidc_data(**other)) == 401
        assert eventually(lambda: stage.has_refused("header_refused"))
    fetches = stage.server.count()
    assert stage.alb(oidc_data("9f1b1a9e-3f1c-4e6f-8f0a-000000000002", signer="other")) == 401
    assert stage.server.count("/9f1b1a9e-3f1c-4e6f-8f0a-000000000002") == 0 and fetches
    assert eventually(lambda: stage.alb(oidc_data("unknown")) == 401 and stage.server.count("/unknown") > 0)
    token = oidc_data()
    assert stage.alb(token.rstrip("=")) == stage.alb(token) == 200
    assert stage.status(token) == 401  # not where the issuer's tokens stand


def test_encrypted_tokens_pass_and_their_keys_are_rotated_by_a_reload(stage: Stage) -> None:
    """An encrypted token passes, a signed one does not where encryption is required; a key file that changed counts from the reload on."""
    old, new = recipient("P-256"), recipient("P-256", 1)
    signed = TOKENS.mint("ES256")

    def sealed(key: Any, kid: str) -> str:
        return encrypt(TOKENS.mint("ES256").encode(), key, "ECDH-ES+A256KW", kid=kid).decode()

    known = sealed(old, "e1")
    assert stage.status(known) == stage.status(known) == 200
    assert stage.status(signed) == 401
    assert eventually(lambda: stage.has_refused("not_encrypted"))
    assert stage.status(sealed(new, "e1")) == 401
    assert eventually(lambda: stage.has_refused("decryption_failed"))
    (stage.directory / "decryption.jwk").write_text(json.dumps(private_jwk(new, kid="e2")))
    os.kill(stage.balancer.pid, signal.SIGHUP)
    assert eventually(lambda: "configuration reloaded" in stage.balancer.stderr)  # by both workers
    assert stage.status(sealed(new, "e2")) == 200
    assert stage.status(known) == 401
    (stage.directory / "decryption.jwk").write_text("{}")
    os.kill(stage.balancer.pid, signal.SIGHUP)
    assert eventually(lambda: "decryption.jwk cannot be used to decrypt tokens" in stage.balancer.stderr)
    assert stage.status(sealed(new, "e2")) == 200
    (stage.directory / "decryption.jwk").write_text(json.dumps(private_jwk(new, kid="e2")))
    log = stage.balancer.access_log_path.read_text() + stage.balancer.stderr
    assert known not in log and signed not in log and new.as_dict(private=True)["d"] not in log


def test_keys_of_two_urls(stage: Stage) -> None:
    """Both count; while one URL fails, its keys stay and the other one rotates."""
    assert [stage.status(key.token(claims("https://two"))) for key in (FIRST, SECOND)] == [200, 200]
    third = new_key("ES256", "three")
    stage.server.answers["/second"] = Answer(status=500)
    stage.server.documents["/first"] = lambda: json.dumps({"keys": [third.jwk()]}).encode()
    assert eventually(lambda: stage.status(third.token(claims("https://two"))) == 200)
    assert eventually(lambda: stage.status(FIRST.token(claims("https://two"))) == 401)
    assert stage.status(SECOND.token(claims("https://two"))) == 200
    assert eventually(lambda: "some keys could not be fetched" in stage.balancer.stderr)


def test_two_entries_of_one_issuer(stage: Stage) -> None:
    """The audience of a token says which entry it belongs to: its keys, and the place where it must stand."""
    machine = MACHINE.token({**claims("https://two"), "aud": "machines"})
    assert stage.status(machine, "X-Machine: ") == 200
    assert stage.status(machine) == 401
    assert stage.status(MACHINE.token(claims("https://two"))) == 401
    assert stage.status(SECOND.token(claims("https://two"))) == 200
    assert stage.status(SECOND.token(claims("https://two")), "X-Machine: ") == 401
