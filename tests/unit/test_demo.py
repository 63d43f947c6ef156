"""The parts of the demo that need no socket: its tokens, what it prints, how it checks answers."""

import shlex

import jwt
import pytest

from lbjwt.demo.issuer import AUDIENCE, Issuer
from lbjwt.demo.stage import introduction
from lbjwt.demo.tour import Step, check, plan

ISSUER = Issuer("http://127.0.0.1:8081")
STRANGER = Issuer("http://127.0.0.1:8081")


def decode(token, **options):
    """Verify with another library than the one that signed."""
    (key,) = jwt.PyJWKSet.from_dict(ISSUER.jwks()).keys
    return jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER.url, options=options)


def token_in(line: str) -> str:
    (field,) = [word for word in shlex.split(line) if word.startswith("Authorization: Bearer ")]
    return field.removeprefix("Authorization: Bearer ")


def test_jwks_is_public():
    """The published key set holds the public key and nothing private."""
    (key,) = ISSUER.jwks()["keys"]
    assert key["kty"] == "EC"
    assert "d" not in key


def test_token_lives_for_an_hour():
    """A minted token verifies with another library and is valid for one hour."""
    claims = decode(ISSUER.mint("alice"))
    assert claims["sub"] == "alice"
    assert claims["exp"] - claims["iat"] == 3600


def test_expired_token_is_only_expired():
    """The expired token is good in everything but its time, so that the demo shows the right refusal."""
    token = ISSUER.mint("alice", expired=True)
    with pytest.raises(jwt.ExpiredSignatureError):
        decode(token)
    claims = decode(token, verify_exp=False)
    assert claims["iat"] < claims["exp"]


def test_lines_carry_the_tokens_they_promise():
    """Each printed line carries a token that is wrong in exactly the way its title says."""
    steps = {step.title: step for step in plan(ISSUER, STRANGER, "http://127.0.0.1:8080")}
    assert decode(token_in(steps["a valid token"].line))["sub"] == "alice"
    with pytest.raises(jwt.ExpiredSignatureError):
        decode(token_in(steps["an expired token"].line))
    with pytest.raises(jwt.InvalidAudienceError):
        decode(token_in(steps["a token for another audience"].line))
    with pytest.raises(jwt.InvalidSignatureError):
        decode(token_in(steps["a token signed with an unknown key"].line))
    assert "Authorization" not in steps["no token"].line


@pytest.mark.parametrize(
    ("printed", "fault"),
    [
        ('HTTP/1.1 200 OK\r\nServer: x\r\n\r\n{"subject": "alice"}\n', ""),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", "expected 1 x status 200, got 401"),
        ('HTTP/1.1 200 OK\r\n\r\n{"subject": "admin"}', "expected the backend to see alice, it saw ['admin']"),
        ("", "expected 1 x status 200, got nothing"),
    ],
)
def test_a_wrong_answer_is_found(printed, fault):
    """An answer with another status or another identity is not taken for a good one."""
    assert check(Step("a valid token", "curl", 200, "alice"), printed) == fault


def test_a_missing_answer_is_found():
    """The line of many requests is good only when all were answered."""
    answer = 'HTTP/1.1 200 OK\r\n\r\n{"subject": "alice"}\n'
    step = Step("many", "curl", 200, "alice", answers=3)
    assert check(step, answer * 3) == ""
    assert check(step, answer * 2) == "expected 3 x status 200, got 200 200"


def test_introduction_prints_every_line_unbroken():
    """Each line to copy stands alone on one line."""
    tour = plan(ISSUER, STRANGER, "http://127.0.0.1:8080")
    printed = introduction(tour, ISSUER, "127.0.0.1:8080", "127.0.0.1:9900").splitlines()
    for step in tour:
        assert step.line in printed
