"""`lbjwt explain` as a command: what it reads, what it prints, how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lbjwt.cli import main
from tests.unit.auth_tokens import ISSUER, NOW, claims, token
from tests.unit.explain_cases import CONFIGURATIONS, jwks

T = int(NOW)


def minted(**changes: Any) -> str:
    """A good ES256 token with these claims changed."""
    return token(claims(**changes), algorithm="ES256", kid="k1").decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration file."""
    path = tmp_path / "lbjwt.yaml"
    path.write_text(CONFIGURATIONS["one"].replace("JWKS", json.dumps(jwks())))
    return path


def run(*arguments: str | Path, given: str = "") -> Result:
    """One call of the command, with this on standard input."""
    return CliRunner().invoke(main, ["explain", *map(str, arguments)], input=given)


AT = ("--at", str(T))


def test_the_exit_code_is_the_verdict(file: Path, tmp_path: Path):
    """0 allowed, 1 refused, 2 not known; the configuration by flag or first, the token on standard input, with or without the dash."""
    good = minted()
    for arguments in (("--config", file), (file,), (file, "-"), ("--config", file, "-")):
        result = run(*arguments, *AT, given=f"Bearer {good}\n")
        assert (result.exit_code, result.stdout.splitlines()[0], result.stderr) == (0, "allowed", "")
    result = run("--config", file, *AT)
    assert (result.exit_code, result.stdout.splitlines()[0]) == (1, "refused: missing")
    assert run(file, "--at", "2029-01-01T00:00:00Z", given=good).stdout.startswith("refused: expired\n")
    far = tmp_path / "far.yaml"
    far.write_text(CONFIGURATIONS["far"])
    assert run(far, *AT, "--offline", given=good).exit_code == 2


def test_a_token_on_the_command_line_is_warned_of(file: Path):
    """It works, and standard error says what is wrong with it, without repeating it."""
    good = minted()
    result = run("--config", file, *AT, good)
    assert result.exit_code == 0 and "every user of this machine" in result.stderr and good not in result.output
    assert run(file, good, *AT).exit_code == 0


def test_the_request_comes_from_the_options(tmp_path: Path):
    """Method, path, host and further fields."""
    path = tmp_path / "lbjwt.yaml"
    path.write_text(CONFIGURATIONS["routes"].replace("JWKS", json.dumps(jwks())))
    options = [
        "--method",
        "HEAD",
        "--host",
        "x.api.example",
        "--path",
        "/only?q=1",
        "--header",
        "X-Token:  abc",
        "--json",
    ]
    story = json.loads(run(path, *AT, *options, given=minted()).stdout)
    assert story["request"] == {"method": "HEAD", "host": "x.api.example", "path": "/only"}
    assert (story["route"]["name"], story["reason"]) == ("get", "multiple_tokens")
    assert json.loads(run(path, *AT, "--json", given="").stdout)["request"]["host"] == "127.0.0.1:8080"


@pytest.mark.parametrize(
    ("arguments", "given", "part"),
    [
        ([], "", "give a configuration"),
        (["FILE", "a", "b"], "", "give only one token"),
        (["FILE"], "a\nb", "a token must be a single line"),
        (["FILE", "--header", "no colon"], "", "Name: value"),
        (["FILE", "--header", "A: b\nC: d"], "", "Name: value"),
        (["FILE", "--path", "orders"], "", "begin with /"),
        (["FILE", "--path", "/a b"], "", "begin with /"),
        (["FILE", "--method", "GET /"], "", "a method name such as GET"),
        (["FILE", "--host", "a b"], "", "must not contain spaces"),
        (["FILE", "--at", "noon"], "", "2026-12-01T00:00:00Z"),
        (["FILE", "--at", "1e400"], "", "2026-12-01T00:00:00Z"),
        (["none.yaml"], "", "cannot be read"),
    ],
)
def test_a_problem_of_usage_is_exit_code_2(file: Path, arguments: list[str], given: str, part: str):
    """Before anything is read or fetched, and without a traceback."""
    result = run(*[str(file) if one == "FILE" else one for one in arguments], given=given)
    assert (result.exit_code, result.stdout) == (2, "")
    assert part in result.stderr.replace("\n", " ")


def test_revocations_that_cannot_be_read_are_a_problem(file: Path):
    """Nobody is told "allowed" who may be revoked."""
    with file.open("a") as out:
        out.write("revocation: {file: none.jsonl}\n")
    result = run(file, *AT, given=minted())
    assert (result.exit_code, result.stdout) == (2, "") and "none.jsonl" in result.stderr


JSON: dict[str, Any] = {
    "verdict": "refused", "reason": "expired", "would_refuse": None, "problem": None, "at": NOW,
    "request": {"method": "GET", "host": "h", "path": "/"},
    "asked_by": None,
    "route": {"name": None, "why": "there are no routes: every request needs a token", "over": [], "public": False, "report_only": False,
              "allow_missing": False},
    "cluster": None,
    "tokens": [{
        "places": ["Authorization: Bearer"], "issuer": "main", "why": "the only issuer configured", "keys_from": "issuers.main.jwks",
        "encryption": None,
        "header": {"alg": "ES256", "typ": "JWT", "kid": "k1"},
        "claims": {"iss": ISSUER, "aud": "api", "sub": "user-1", "exp": T - 60, "iat": T - 10},
        "key": {"kid": "k1", "type": "EC", "curve": "P-256", "bits": 256, "algorithm": "ES256"}, "signature": "good",
    }],
    "backend": None,
    "answer": {"status": 401, "fields": [
        ["Server", "lbjwt"], ["WWW-Authenticate", 'Bearer realm="lbjwt", error="invalid_token"'],
        ["Content-Type", "text/plain; charset=utf-8"], ["Cache-Control", "no-store"], ["Content-Length", "13"],
    ]},
    "notes": [],
}  # fmt: skip


def test_the_json_has_stable_names(file: Path):
    """The whole document but for the words of the steps."""
    story = json.loads(run(file, *AT, "--host", "h", "--json", given=minted(exp=T - 60)).stdout)
    steps = story.pop("steps")
    assert story == JSON
    assert {frozenset(step) for step in steps} == {frozenset({"stage", "rule", "outcome", "detail", "reason", "later"})}
    decisive = [step for step in steps if step["reason"]]
    assert decisive == [
        {"stage": "claims", "rule": "before exp, 60 s of clock skew", "outcome": "refused", "detail": f"exp is {T - 60}, 60 s ago",
         "reason": "expired", "later": False},
    ]  # fmt: skip
