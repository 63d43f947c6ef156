"""lbjwt behind an AWS Application Load Balancer, as docs/beside-alb.md has it: what an ALB sends, and what the application gets."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually

KEY = ec.generate_private_key(ec.SECP256R1())
ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc"
CLIENT = "203.0.113.7"


def padded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data)


def oidc_data(**claims: Any) -> str:
    """As an ALB writes it: with padding, and with `exp` in the header too."""
    now = int(time.time())
    head = {
        "typ": "JWT",
        "kid": "1234",
        "alg": "ES256",
        "iss": ISSUER,
        "client": "app",
        "signer": "arn:aws:a",
        "exp": now + 120,
    }
    payload = {"sub": "alice", "email": "alice@example.com", "exp": now + 120, "iss": ISSUER, **claims}
    signed = padded(json.dumps(head).encode()) + b"." + padded(json.dumps(payload).encode())
    r, s = decode_dss_signature(KEY.sign(signed, ec.ECDSA(hashes.SHA256())))
    token = signed + b"." + padded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
    assert b"=" in token
    return token.decode()


class Target:
    """lbjwt as the target of an ALB."""

    def __init__(self, balancer: Balancer, backend: Backend) -> None:
        self.balancer = balancer
        self.backend = backend

    def ask(self, path: str, **fields: str) -> tuple[int, str]:
        """As an ALB forwards a request; the status, and the head that the application got."""
        headers = {
            "X-Forwarded-For": CLIENT,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Port": "443",
            "Host": "shop.example",
        }
        before = len(self.backend.seen)
        with closing(http.client.HTTPConnection("127.0.0.1", self.balancer.port, timeout=60)) as connection:
            connection.request(
                "GET", path, headers=headers | {name.replace("_", "-"): value for name, value in fields.items()}
            )
            response = connection.getresponse()
            response.read()
        return response.status, b"".join(seen.head for seen in self.backend.seen[before:]).decode("latin-1").lower()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    directory = tmp_path_factory.mktemp("alb")
    pem = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (directory / "alb.pem").write_bytes(pem)
    issuer = {
        "issuer": ISSUER,
        "any_audience": True,
        "audiences": ...,
        "algorithms": ["ES256"],
        "allow_padding": True,
        "jwks_file": ...,
        "pem_file": str(directory / "alb.pem"),
        "from_headers": [{"name": "x-amzn-oidc-data", "scheme": "", "forward": False}],
    }
    settings: dict[str, Any] = {
        "issuers": {"main": issuer},
        "trusted_proxies": ["127.0.0.0/8"],
        "timeouts": {"keep_alive": "75s"},
        "fail_limit": {"failures": 3, "window": "1h"},
    }
    with Backend(good) as backend, Balancer(directory, TokenFactory(), [backend.address], **settings) as balancer:
        yield Target(balancer, backend)


def test_a_padded_token_of_an_alb_is_verified_and_goes_no_further(target: Target) -> None:
    """The application gets the claim, and neither the token nor what a client wrote under its name."""
    status, head = target.ask("/orders", x_amzn_oidc_data=oidc_data(), X_Jwt_Sub="mallory")
    assert status == 200
    assert "x-jwt-sub: alice\r\n" in head
    assert "mallory" not in head
    assert "x-amzn-oidc-data" not in head
    assert f"x-forwarded-for: {CLIENT}, 127.0.0.1\r\n" in head
    assert "x-forwarded-proto: https\r\n" in head


def test_without_the_signed_header_nothing_that_an_alb_says_counts(target: Target) -> None:
    forged = oidc_data()[:-10] + "AAAAAAAAA="
    for fields in (
        {},
        {"x_amzn_oidc_identity": "alice"},
        {"x_amzn_oidc_data": forged, "x_amzn_oidc_identity": "alice"},
    ):
        status, head = target.ask("/orders", **fields)
        assert (status, head) == (401, "")
    assert target.ask("/orders", x_amzn_oidc_data=oidc_data(exp=int(time.time()) - 3600))[0] == 401


def test_bad_tokens_count_against_the_client_and_not_against_the_alb(target: Target) -> None:
    """All clients come over the few addresses of the ALB: if they counted, one client would lock out all."""

    def status(client: str) -> int:
        return target.ask("/orders", X_Forwarded_For=client, x_amzn_oidc_data="a.b.c")[0]

    assert eventually(lambda: status("203.0.113.66") == 429)
    assert status("203.0.113.67") == 401
    assert eventually(lambda: '"client":"203.0.113.66"' in target.balancer.access_log_path.read_text().replace(" ", ""))
