"""The fake issuer and the keys of every algorithm, each tried on its own: a rig that does not do what it says proves nothing."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import idp as provider
from tests.harness.idp import IdentityProvider
from tests.harness.keys import ASYMMETRIC, ML_DSA, SYMMETRIC, new_key
from tests.harness.keyserver import Answer, Blackhole, Canary, KeyServer
from tests.harness.publisher import Federation, Issuer
from tests.harness.tokens import ShadowVerifier
from tests.harness.waiting import eventually


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """A key server, listening."""
    with KeyServer() as running:
        yield running


def fetch(
    server: KeyServer, path: str, timeout: float = 30.0, fields: dict[str, str] | None = None
) -> tuple[int, bytes, dict[str, str]]:
    """Status, body and fields of one GET."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("GET", path, headers=fields or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), dict(answer.getheaders())
    finally:
        connection.close()


@pytest.mark.parametrize("algorithm", [*ASYMMETRIC, *SYMMETRIC])
def test_a_token_of_every_algorithm_convinces_the_shadow_and_a_changed_one_does_not(algorithm: str) -> None:
    """Signer and judge share no code, so that they agree means something."""
    key, other = new_key(algorithm, "k"), new_key(algorithm, "k")
    claims = {"iss": "https://a.test", "aud": "api", "exp": int(time.time()) + 60}
    shadow = ShadowVerifier({"keys": [key.jwk()]}, "https://a.test", "api")
    assert shadow.judge([b"Bearer " + key.token(claims).encode()]) == "ok"
    assert shadow.judge([b"Bearer " + other.token(claims).encode()]) == "InvalidSignatureError"
    assert shadow.judge([b"Bearer " + key.token({**claims, "aud": "other"}).encode()]) == "InvalidAudienceError"


def test_the_shadow_knows_whose_a_key_is(server: KeyServer) -> None:
    """THREATS B17: a key of one issuer does not speak for another."""
    ours, theirs = Issuer(server, "a"), Issuer(server, "b")
    federation = Federation([ours, theirs])
    shadow = ShadowVerifier(federation.jwks(), federation.issuer, federation.audience)
    assert [shadow.judge([b"Bearer " + issuer.mint().encode()]) for issuer in (ours, theirs)] == ["ok", "ok"]
    assert shadow.judge([b"Bearer " + ours.mint(iss=theirs.issuer).encode()]) == "InvalidIssuerError"


def test_all_algorithms_are_there() -> None:
    """A library that lacks one would quietly shrink every bar over all algorithms."""
    assert len(ASYMMETRIC) == 16
    assert len(ML_DSA) == 3


def test_what_an_issuer_publishes_follows_its_rotation(server: KeyServer) -> None:
    """Publish, switch, drop; the pool stays known to the shadow throughout."""
    issuer = Issuer(server)

    def kids() -> list[str]:
        return [key["kid"] for key in json.loads(fetch(server, issuer.jwks_path)[1])["keys"]]

    assert kids() == ["main-0"]
    issuer.publish_next()
    assert kids() == ["main-0", "main-1"]
    assert issuer.signing.kid == "main-0"
    issuer.switch()
    issuer.drop_old()
    assert (kids(), issuer.signing.kid) == (["main-1"], "main-1")
    assert [key["kid"] for key in issuer.jwks()["keys"]] == ["main-0", "main-1"]
    assert json.loads(fetch(server, issuer.discovery_path)[1]) == {
        "issuer": issuer.issuer,
        "jwks_uri": issuer.jwks_uri,
    }
    assert (issuer.fetches, server.count(), server.connections) == (3, 4, 4)


def test_each_misbehaviour_is_what_it_says(server: KeyServer) -> None:
    """Status, wrong length, reset, silence, one byte at a time, no end, and 304 for who has it already."""
    issuer = Issuer(server)
    path = issuer.jwks_path
    server.answers[path] = Answer(status=500, body=b"<html>")
    assert fetch(server, path)[:2] == (500, b"<html>")
    server.answers[path] = Answer(length=100_000)
    with pytest.raises((http.client.IncompleteRead, TimeoutError)):
        fetch(server, path, 0.3)
    server.answers[path] = Answer(reset_at=30)
    with pytest.raises(ConnectionResetError):
        fetch(server, path)
    server.answers[path] = Answer(hang=True)
    asked = server.count()
    with socket.create_connection(("127.0.0.1", server.port), 30.0) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert eventually(lambda: server.count() > asked)
        hung = server.fetches[-1]
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(1)
        assert server.fetches[-1].ended_at is None
    assert eventually(lambda: hung.ended_at is not None)
    assert hung.ended_at is not None
    assert hung.status == 0
    assert hung.ended_at - hung.at > 0.1
    server.answers[path] = Answer(pace=0.05)
    with socket.create_connection(("127.0.0.1", server.port), 30.0) as client:
        began = time.monotonic()
        client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        assert [client.recv(1) for _ in range(4)] == [b"H", b"T", b"T", b"P"]
        assert time.monotonic() - began > 0.12  # a reader that is late finds several bytes, but never before their time
    server.answers[path] = Answer(endless=True)
    with socket.create_connection(("127.0.0.1", server.port), 30.0) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        received = 0
        while received <= 10_000:
            part = client.recv(65536)
            assert part
            received += len(part)
    server.answers[path] = Answer(use_etag=True)
    status, body, fields = fetch(server, path)
    assert (status, body) == (200, issuer.document())
    assert fetch(server, path, fields={"If-None-Match": fields["ETag"]})[:2] == (304, b"")
    issuer.publish_next()
    assert fetch(server, path, fields={"If-None-Match": fields["ETag"]})[0] == 200
    server.answers[path] = Answer(status=503, times=2)
    assert [fetch(server, path)[0] for _ in range(3)] == [503, 503, 200]


def test_a_closed_door_refuses_and_opens_again(server: KeyServer) -> None:
    """On the same port; open connections are reset."""
    issuer = Issuer(server)
    server.answers[issuer.jwks_path] = Answer(hang=True)
    with socket.create_connection(("127.0.0.1", server.port), 30.0) as client:
        client.sendall(f"GET {issuer.jwks_path} HTTP/1.1\r\n\r\n".encode())
        assert eventually(lambda: server.count() == 1)
        server.close_door()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        fetch(server, issuer.jwks_path)
    server.answers.clear()
    server.open_door()
    assert fetch(server, issuer.jwks_path)[0] == 200


def test_idle_connections_are_closed_when_asked() -> None:
    """A second request on a kept connection meets its end."""
    with KeyServer(idle_close=(0.05, 0.1)) as server:
        issuer = Issuer(server)
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30.0)
        connection.request("GET", issuer.jwks_path)
        connection.getresponse().read()
        assert connection.sock.recv(1) == b""
        connection.close()


def test_a_canary_counts_and_a_blackhole_swallows() -> None:
    """One connection is one connection; a connect to the other takes for ever."""
    with Canary() as canary, Blackhole() as hole:
        assert canary.take() == 0
        socket.create_connection(("127.0.0.1", canary.port), 1.0).close()
        assert eventually(lambda: canary.take() == 1)
        with pytest.raises(TimeoutError):
            socket.create_connection(("127.0.0.1", hole.port), 0.3)


def test_the_real_provider_signs_and_rotates(tmp_path: Path) -> None:
    """Tokens of both algorithms name the signing key, before and after each step of a rotation."""
    if reason := provider.missing():
        pytest.skip(reason)
    with IdentityProvider(tmp_path) as idp:
        steps = [idp.state(), idp.publish(), idp.switch(), idp.drop()]
        assert [step["ES256"] for step in steps] == [
            ["ES256-1"],
            ["ES256-1", "ES256-2"],
            ["ES256-2", "ES256-1"],
            ["ES256-2"],
        ]
        assert idp.token("RS256").count(".") == 2
