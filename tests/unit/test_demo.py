"""The parts of the demo that need no socket: its tokens, what it prints, how it judges answers."""

import itertools
import json
import shlex

import jwt
import pytest

from lbjwt.demo.issuer import AUDIENCE, Issuer
from lbjwt.demo.screen import LINES_AT_ONCE, Lines, Tally
from lbjwt.demo.stage import introduction, serve_arguments
from lbjwt.demo.tour import BURST, Step, judge, judge_burst, plan

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
    token = ISSUER.mint("alice", lifetime=-3600)
    with pytest.raises(jwt.ExpiredSignatureError):
        decode(token)
    claims = decode(token, verify_exp=False)
    assert claims["iat"] < claims["exp"]


def test_lines_carry_the_tokens_they_promise():
    """Each printed line carries a token that is wrong in exactly the way its title says."""
    steps = {step.title: step for step in plan(ISSUER, STRANGER, "http://127.0.0.1:8080").steps}
    assert decode(token_in(steps["a valid token"].line))["sub"] == "alice"
    with pytest.raises(jwt.ExpiredSignatureError):
        decode(token_in(steps["an expired token"].line))
    with pytest.raises(jwt.InvalidAudienceError):
        decode(token_in(steps["a token for another audience"].line))
    with pytest.raises(jwt.InvalidSignatureError):
        decode(token_in(steps["a token signed by a stranger"].line))
    assert "Authorization" not in steps["no token"].line


@pytest.mark.parametrize(
    ("printed", "complaint"),
    [
        ('HTTP/1.1 200 OK\r\nServer: x\r\n\r\n{"subject": "alice"}', None),
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", "expected status 200, got 401 Unauthorized"),
        ('HTTP/1.1 200 OK\r\n\r\n{"subject": "admin"}', "expected the backend to see alice, it saw admin"),
        ("", "expected status 200, got nothing"),
    ],
)
def test_judge_finds_a_wrong_answer(printed, complaint):
    """An answer with another status or another identity is not taken for a good one."""
    assert judge(Step("a valid token", "curl", 200, "alice"), printed) == complaint


def test_judge_burst_finds_missing_answers():
    """The loop line is good only when all requests were answered and every backend had some."""
    answers = [json.dumps({"backend": name}) for name in ["ash", "birch"] * (BURST // 2)]
    assert judge_burst("\n".join(answers), ["ash", "birch"])[0] is None
    assert judge_burst("\n".join(answers), ["ash", "birch", "snail"])[0] == "only ash, birch answered"
    assert judge_burst("\n".join(answers[1:]), ["ash", "birch"])[0] == f"{BURST - 1} of {BURST} requests were answered"


def test_tally_reads_the_access_log():
    """Records become words with the backend's name or the reason of the refusal; other lines count for nothing."""
    tally = Tally({"127.0.0.1:9001": "ash"})
    passed = {"duration_ms": 1.25, "method": "GET", "path": "/a", "status": 200, "endpoint": "127.0.0.1:9001"}
    refused = {"duration_ms": 0.1, "method": "GET", "path": "/a", "status": 401, "reason": "expired"}
    assert tally.take(json.dumps(passed).encode()) == "200  GET /a  ash  1.2 ms"
    assert tally.take(json.dumps(refused).encode()) == "401  GET /a  refused: expired  0.1 ms"
    assert tally.take(b"listening on 127.0.0.1:8080\n") is None
    assert tally.take(b"7\n") is None
    assert tally.refused == {"expired": 1}


def test_tally_keeps_control_bytes_off_the_terminal():
    """A path with an escape sequence, undone by reading the JSON, does not move the visitor's cursor."""
    record = {"method": "GET", "path": "/\x1b[2J\r\n", "status": 401, "reason": "missing"}
    assert Tally({}).take(json.dumps(record).encode()) == "401  GET /?[2J??  refused: missing  0.0 ms"


def test_plain_lines_do_not_flood(capsys):
    """Under load the plain screen counts what it does not print."""
    Lines().show([f"line {number}" for number in range(LINES_AT_ONCE + 7)])
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == LINES_AT_ONCE + 1
    assert printed[-1] == "… and 7 more"


def test_introduction_prints_every_line_unbroken():
    """Each line to copy stands alone on one line; other ports than the usual ones reach `make load`."""
    tour = plan(ISSUER, STRANGER, "http://127.0.0.1:8080")
    printed = introduction(tour, ISSUER, "127.0.0.1:8080", "127.0.0.1:9900").splitlines()
    for line in [*(step.line for step in tour.steps), tour.burst, "make load"]:
        assert line in printed
    elsewhere = introduction(tour, ISSUER, "127.0.0.1:4000", "127.0.0.1:9900")
    assert "make load URL=http://127.0.0.1:4000/ ISSUER=http://127.0.0.1:8081" in elsewhere


def test_balancer_is_told_all_backends():
    """Every backend is handed to `lbjwt serve` with a flag of its own."""
    arguments = serve_arguments("127.0.0.1:8080", "127.0.0.1:9900", ISSUER, ["127.0.0.1:1", "127.0.0.1:2"])
    backends = [value for flag, value in itertools.pairwise(arguments) if flag == "--backend"]
    assert backends == ["127.0.0.1:1", "127.0.0.1:2"]
