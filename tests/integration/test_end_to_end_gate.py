"""The gate from outside: real curl, the real program, recording backends with a second opinion on every token."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.harness.client import request
from tests.harness.stage import Stage, curl
from tests.harness.tokens import TokenFactory


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One honest backend behind a balancer with the default policy."""
    with Stage(
        tmp_path_factory.mktemp("gate"),
        claim_to_headers=[{"claim": "sub", "header": "X-Jwt-Sub"}, {"claim": "role", "header": "X-User-Role"}],
    ) as stage:
        yield stage


def reached(stage: Stage, id: str) -> bool:
    """Whether a request with this id reached a backend."""
    return any(record.id == id for record in stage.seen)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_valid_token_reaches_the_backend(stage: Stage, algorithm: str) -> None:
    """A good token of each key type passes, and the backend is told who it is."""
    answer = curl(stage, "/head", "-H", f"X-Test-Id: ok-{algorithm}", token=stage.tokens.mint(algorithm, sub="bob"))
    assert answer.status == 200, answer
    assert b"\r\nX-Jwt-Sub: bob\r\n" in answer.body
    assert answer.field("X-Echo-Id") == f"ok-{algorithm}"


def test_no_token_is_401_with_a_plain_challenge(stage: Stage) -> None:
    """Without credentials the challenge carries no error (RFC 6750 section 3)."""
    answer = curl(stage, "/r/x", "-H", "X-Test-Id: none")
    assert answer.status == 401
    assert answer.field("WWW-Authenticate").startswith("Bearer realm=")
    assert "error" not in answer.field("WWW-Authenticate")
    assert not reached(stage, "none")


def encode(data: bytes) -> str:
    """Base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def bad_tokens(stage: Stage) -> dict[str, str]:
    """Tokens that must not pass, by what is wrong with them."""
    tokens, other = stage.tokens, TokenFactory()
    assert isinstance(tokens, TokenFactory)
    good = tokens.mint()
    header, payload, signature = good.split(".")
    public = tokens.keys["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    none_header = encode(b'{"alg":"none","typ":"JWT"}')
    signed = encode(b'{"alg":"HS256","kid":"RS256"}') + "." + payload
    return {
        "expired": tokens.mint(lifetime=-120),
        "wrong audience": tokens.mint(aud="other"),
        "no audience": tokens.mint(aud=None),
        "wrong issuer": tokens.mint(iss="https://issuer.test/"),
        "no issuer": tokens.mint(iss=None),
        "no expiry": tokens.mint(exp=None),
        "not yet": tokens.mint(nbf=int(time.time()) + 600),
        "foreign key": other.mint(),
        "cut signature": good[:-4],
        "changed payload": f"{header}.{payload[:-2]}AA.{signature}",
        "no signature": f"{header}.{payload}.",
        "alg none": f"{none_header}.{payload}.",
        "public key as secret": f"{signed}.{encode(hmac.digest(public, signed.encode(), 'sha256'))}",
        "unknown kid": jwt.encode({"iss": tokens.issuer}, other.keys["RS256"], "RS256", headers={"kid": "nobody"}),
        "two dots": "..",
        "one part": "abc",
        "not base64": "!!.!!.!!",
    }


def test_bad_tokens_are_401_invalid_token(stage: Stage) -> None:
    """Every bad token gets the same answer without detail, and no backend hears of it."""
    for name, token in bad_tokens(stage).items():
        answer = curl(stage, "/r/x", "-H", f"X-Test-Id: bad {name}", token=token)
        assert answer.status in (401, 400), (name, answer.status)
        assert 'error="invalid_' in answer.field("WWW-Authenticate"), (name, answer.head)
        assert len(answer.body) < 200
        assert token.encode() not in answer.body
        assert not reached(stage, f"bad {name}"), name


def test_two_tokens_are_400(stage: Stage) -> None:
    """Two Authorization fields are ambiguous (THREATS P5), whichever of them is good."""
    for first, second in ((stage.token, stage.token), (stage.token, "x"), ("x", stage.token)):
        answer = curl(
            stage,
            "/r/x",
            "-H",
            "X-Test-Id: two",
            "-H",
            f"Authorization: Bearer {first}",
            "-H",
            f"authorization: Bearer {second}",
        )
        assert answer.status == 400
        assert 'error="invalid_request"' in answer.field("WWW-Authenticate")
    assert not reached(stage, "two")


@pytest.mark.parametrize(
    "value",
    ["Basic YTpi", "Bearer", "Bearer\t{t}", "Bearer {t} x", "Bearer {t},{t}", "{t}", "Token {t}", "BearerX {t}"],
)
def test_odd_credentials_never_pass(stage: Stage, value: str) -> None:
    """Only `Bearer SP token` is a bearer token (RFC 6750 section 2.1) (THREATS P7)."""
    answer = curl(
        stage, "/r/x", "-H", f"X-Test-Id: odd {value}", "-H", "Authorization: " + value.replace("{t}", stage.token)
    )
    assert answer.status in (400, 401), (value, answer.status)
    assert not reached(stage, f"odd {value}".strip())


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "BeArEr"])
def test_the_scheme_has_no_case(stage: Stage, scheme: str) -> None:
    """Authentication schemes are case-insensitive (RFC 9110 section 11.1), and one space or more follows (RFC 6750 section 2.1)."""
    assert curl(stage, "/r/x", "-H", f"Authorization: {scheme}   {stage.token}").status == 200
    assert curl(stage, "/r/x", "-H", f"Authorization: {scheme} {stage.token}").status == 200


def test_token_in_query_or_cookie_is_no_token(stage: Stage) -> None:
    """Only the Authorization field is looked at (THREATS P6, P8, P9)."""
    assert curl(stage, f"/r/x?access_token={stage.token}", "-b", f"token={stage.token}").status == 401


def spoofs(name: str) -> set[str]:
    """Spellings of a header name that some backend folds into the same variable (THREATS P2)."""
    words = name.split("-")
    found = set()
    for joiner in ("-", "_", ".", "--", "-_", "_-"):
        for style in (str.lower, str.upper, str.title, str.swapcase):
            found.add(joiner.join(style(word) for word in words))
    for odd in "!#$%&'*+.^`|~":
        found.add(odd.join(words))
    return found | {f"{name}_", f"_{name}", f"{name}.", f"{name}-"}


def folded(name: bytes) -> bytes:
    """As CGI-like backends fold header names."""
    return bytes(byte if byte in b"abcdefghijklmnopqrstuvwxyz0123456789" else 0x5F for byte in name.lower())


@pytest.mark.parametrize("header", ["X-Jwt-Sub", "X-User-Role"])
def test_identity_headers_cannot_be_spoofed(stage: Stage, header: str) -> None:
    """Whatever spelling the client uses, the backend sees at most our own header with the token's own claim (THREATS P1, P2, P3)."""
    for spelling in sorted(spoofs(header)):
        for nominate in ((), (f"Connection: {spelling}",)):
            with stage.client() as client:
                answer = client.ask("/head", token=stage.token, fields=[f"{spelling}: root", *nominate])
                if answer.status == 400:
                    assert client.is_closed(30.0)
                    continue
                assert answer.status == 200
                fields = [line.partition(b":") for line in answer.body.split(b"\r\n")[1:] if line]
                values = [value.strip() for name, _, value in fields if folded(name) == folded(header.encode())]
                assert values in ([], [b"alice"]), (spelling, values)
                if header == "X-Jwt-Sub":
                    assert values == [b"alice"], spelling


def test_a_refusal_leaves_the_connection_usable(stage: Stage) -> None:
    """After a 401 without a body in the request, the same connection serves the next one."""
    with stage.client() as client:
        assert client.ask("/r/x").status == 401
        assert client.ask("/r/x", token=stage.token).status == 200


def test_the_body_of_a_refused_request_is_never_a_request(stage: Stage) -> None:
    """A request hidden in a refused body is not served: swallowed or the connection closes (THREATS H16)."""
    hidden = request("/r/hidden", token=stage.token, id="hidden")
    with stage.client() as client:
        client.send(request("/r/outer", method="POST", body=hidden))
        assert client.response().status == 401
        client.reader.expect(b"GET")
        assert client.response(0.3).status == 0
    assert not reached(stage, "hidden")


def test_a_large_refused_upload_gets_its_answer(stage: Stage, tmp_path: Path) -> None:
    """curl uploading 4 MiB without a token sees 401, not a broken pipe without an answer."""
    body = tmp_path / "body"
    body.write_bytes(b"x" * (4 << 20))
    assert curl(stage, "/r/x", "-T", str(body)).status == 401


def test_forward_token_off_strips_it(tmp_path: Path) -> None:
    """With forward_token: false the backend sees the identity headers and no Authorization."""
    with Stage(tmp_path, shadow=False, forward_token=False) as stage:
        body = curl(stage, "/head", token=stage.token).body
        assert b"authorization" not in body.lower()
        assert b"X-Jwt-Sub: alice" in body


def test_insufficient_scope_is_403(tmp_path: Path) -> None:
    """A missing scope is 403 insufficient_scope; scope words match whole, never as substrings."""
    with Stage(tmp_path, issuers={"main": {"required_scopes": ["read"]}}) as stage:
        for scope, status in (("read", 200), ("write read", 200), ("read:all", 403), ("unread", 403), (None, 403)):
            answer = curl(stage, "/r/x", token=stage.tokens.mint(scope=scope))
            assert answer.status == status, scope
            assert status == 200 or 'error="insufficient_scope"' in answer.field("WWW-Authenticate")


def test_a_token_stops_working_when_it_expires(tmp_path: Path) -> None:
    """A hot cached token is refused once exp plus clock skew has passed."""
    with Stage(tmp_path, issuers={"main": {"clock_skew": "0s"}}) as stage, stage.client() as client:
        token = stage.tokens.mint(lifetime=3)
        expired = time.time() + 3.2
        statuses = []
        while time.time() < expired:
            statuses.append(client.ask("/r/x", token=token).status)
            time.sleep(0.05)
        statuses.append(client.ask("/r/x", token=token).status)
        assert statuses[0] == 200
        assert statuses[-1] == 401
        assert statuses == sorted(statuses)
