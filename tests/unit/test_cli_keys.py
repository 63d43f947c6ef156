"""Keys and tokens by hand: generated, minted, looked at, verified."""

import base64
import json
import stat
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from click.testing import CliRunner, Result

from lbjwt.cli import main
from lbjwt.cli.keys import SIGNING_ALGORITHMS

WHO = ["--claim", "iss=https://i", "--claim", "aud=api"]
FOR = ["--issuer", "https://i", "--audience", "api"]


def run(*arguments: str | Path, given: str | None = None) -> Result:
    """One call of the command line."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)


def keys(directory: Path, algorithm: str = "ES256", *more: str) -> Path:
    """A directory with fresh keys."""
    result = run("keys", "generate", "--algorithm", algorithm, "--out-dir", directory, *more)
    assert result.exit_code == 0, result.output
    return directory


def mint(directory: Path, *more: str) -> str:
    """A token by the key of the directory."""
    result = run("token", "mint", "--key", directory / "private.jwk", *WHO, *more)
    assert result.exit_code == 0, result.output
    return result.stdout.strip()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, decoded without this package."""
    header, claims = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in token.split(".")[:2])
    return header, claims


@pytest.mark.parametrize(
    "algorithm", [name for name in SIGNING_ALGORITHMS if not name.startswith(("RS", "PS"))] + ["RS256", "PS512"]
)
def test_what_is_generated_signs_and_verifies(tmp_path: Path, algorithm: str):
    """From a new key to an accepted token in three commands, for every kind of key."""
    keys(tmp_path, algorithm)
    if algorithm.startswith("HS"):
        minted = run("token", "mint", "--key", tmp_path / "secret.bin", "--algorithm", algorithm, *WHO)
        source: list[str | Path] = ["--secret-file", tmp_path / "secret.bin", "--algorithm", algorithm]
    else:
        minted = run("token", "mint", "--key", tmp_path / "private.jwk", *WHO)
        source = ["--jwks", tmp_path / "jwks.json"]
    assert minted.exit_code == 0, minted.output
    assert parts(minted.stdout)[0]["alg"] == algorithm
    verified = run("token", "verify", *source, *FOR, given=minted.stdout)
    assert verified.exit_code == 0, verified.output
    assert json.loads(verified.stdout)["iss"] == "https://i"
    assert f"accepted: {algorithm}" in verified.stderr
    if not algorithm.startswith("HS"):
        assert {"d", "p", "q", "k", "priv"}.isdisjoint(json.loads((tmp_path / "jwks.json").read_text())["keys"][0])


def test_private_keys_are_for_their_owner(tmp_path: Path):
    """The private file has mode 0600 from its first moment; the public one holds nothing private; nothing private is printed."""
    result = run("keys", "generate", "--out-dir", tmp_path, "--kid", "k1")
    private, public = (
        json.loads((tmp_path / "private.jwk").read_text()),
        json.loads((tmp_path / "jwks.json").read_text()),
    )
    assert stat.S_IMODE((tmp_path / "private.jwk").stat().st_mode) == 0o600
    assert {"d", "p", "q", "k", "priv"}.isdisjoint(public["keys"][0])
    assert (public["keys"][0]["kid"], public["keys"][0]["alg"], public["keys"][0]["use"]) == ("k1", "ES256", "sig")
    assert private["d"] not in result.output


def test_a_minus_prints_the_private_key_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Printing is possible for pipes, but must be asked for."""
    monkeypatch.chdir(tmp_path)
    result = run("keys", "generate", "--out-dir", "-", "--format", "pem")
    assert result.stdout.startswith("-----BEGIN PRIVATE KEY-----")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_made(tmp_path: Path):
    """One level of it: a path with two missing levels is rather a slip of the hand."""
    assert run("keys", "generate", "--out-dir", tmp_path / "new").exit_code == 0
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"private.jwk", "jwks.json"}
    result = run("keys", "generate", "--out-dir", tmp_path / "other" / "new")
    assert (result.exit_code, (tmp_path / "other").exists()) == (1, False)


@pytest.mark.parametrize("name", ["private.jwk", "jwks.json"])
def test_keys_are_never_overwritten(tmp_path: Path, name: str):
    """An existing file, even a dangling link, stops everything before anything is written."""
    (tmp_path / name).symlink_to(tmp_path / "nowhere")
    result = run("keys", "generate", "--out-dir", tmp_path)
    assert result.exit_code == 1
    assert "exists" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_pem_key_signs_too(tmp_path: Path):
    """The PEM form works without a key id, because the set has one key."""
    keys(tmp_path, "ES384", "--format", "pem")
    minted = run("token", "mint", "--key", tmp_path / "private.pem", *WHO)
    assert parts(minted.stdout)[0] == {"typ": "JWT", "alg": "ES384"}
    assert run("token", "verify", "--jwks", tmp_path / "jwks.json", *FOR, given=minted.stdout).exit_code == 0


def test_a_key_on_demand_works_as_pem_too(tmp_path: Path):
    """The curve of a PEM key says what it signs with, also where the algorithm must be named to be used."""
    keys(tmp_path, "ES256K", "--format", "pem")
    minted = run("token", "mint", "--key", tmp_path / "private.pem", *WHO)
    assert parts(minted.stdout)[0] == {"typ": "JWT", "alg": "ES256K"}
    assert run("token", "verify", "--jwks", tmp_path / "jwks.json", *FOR, given=minted.stdout).exit_code == 0


def test_minted_tokens_are_good_for_others(tmp_path: Path):
    """Another library accepts the token, with the claims in their types."""
    keys(tmp_path)
    token = mint(
        tmp_path,
        "--claim",
        "sub=a=b",
        "--claim",
        "admin:=true",
        "--claim",
        "n=1",
        "--expires-in",
        "1h",
        "--typ",
        "at+jwt",
    )
    key = pyjwt.PyJWK(json.loads((tmp_path / "jwks.json").read_text())["keys"][0])
    claims = pyjwt.decode(token, key, algorithms=["ES256"], audience="api")
    assert (claims["sub"], claims["admin"], claims["n"], claims["exp"] - claims["iat"]) == ("a=b", True, "1", 3600)
    assert parts(token)[0]["typ"] == "at+jwt"


def test_named_claims_win(tmp_path: Path):
    """An expired token for a test is one claim away."""
    assert parts(mint(keys(tmp_path), "--claim", "exp:=1"))[1]["exp"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["--claim", "sub"], 2, "NAME=TEXT"),
        (["--claim", "=x"], 2, "NAME=TEXT"),
        (["--claim", "n:=x"], 2, "not JSON"),
        (["--expires-in", "5"], 2, 'did you mean "5s"'),
        (["--algorithm", "none"], 2, "none"),
        (["--algorithm", "RS256"], 1, "cannot sign with RS256"),
        (["--algorithm", "HS256"], 1, "cannot be used as a secret"),
    ],
)
def test_what_cannot_be_minted_is_refused(tmp_path: Path, arguments: list[str], code: int, part: str):
    """One sentence, nothing on standard output, no key in it."""
    keys(tmp_path)
    result = run("token", "mint", "--key", tmp_path / "private.jwk", *arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert part in result.stderr
    assert json.loads((tmp_path / "private.jwk").read_text())["d"] not in result.output


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1]", b'{"kty":"oct","k":"c2VjcmV0"}', b"-----BEGIN PRIVATE KEY-----\nAAAA\n", b"\xff" * 64],
)
def test_what_is_no_private_key_cannot_sign(tmp_path: Path, content: bytes):
    """Public keys, broken files and secrets are told apart from private keys."""
    (tmp_path / "key").write_bytes(content)
    result = run("token", "mint", "--key", tmp_path / "key")
    assert result.exit_code == 1
    assert "contains neither a private JWK" in result.stderr
    (tmp_path / "short").write_bytes(b"x" * 31)
    assert "HS256 needs at least 32" in run("token", "mint", "--key", tmp_path / "short", "--algorithm", "HS256").stderr
    assert "cannot read" in run("token", "mint", "--key", tmp_path / "none").stderr


def test_inspect_says_loudly_that_nothing_was_verified(tmp_path: Path):
    """Header and claims are shown as JSON, times for people, and the warning is not to be missed."""
    token = mint(keys(tmp_path), "--claim", "exp:=1")
    result = run("token", "inspect", given=f"  Bearer {token}\n")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == dict(zip(("header", "claims"), parts(token), strict=True))
    assert result.stderr.startswith("NOT VERIFIED")
    assert "exp: 1970-01-01 00:00:01Z (" in result.stderr
    assert "command line" in run("token", "inspect", token).stderr


def compact(header: object, claims: object) -> str:
    """A token of any content, with a signature of nonsense."""
    encode = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (header, claims)]
    return ".".join([*encode, "AAAA"])


@pytest.mark.parametrize(
    ("token", "part"),
    [
        ("", "three parts"),
        ("a.b", "three parts"),
        ("a.b.c.d.e", "JWE"),
        ("." * 1000, "three parts"),
        ("!.e30.x", "header is not base64url"),
        (compact([1], {}), "header is not a JSON object"),
        (compact({}, "x"), "payload is not a JSON object"),
        ("e30." + base64.urlsafe_b64encode(b"[" * 100_000).decode().rstrip("=") + ".x", "payload is not base64url"),
    ],
)
def test_what_is_no_token_is_told(token: str, part: str):
    """Exit code 1 and the reason, without the text."""
    result = run("token", "inspect", given=token)
    assert (result.exit_code, result.stdout) == (1, "")
    assert part in result.stderr


def test_inspect_does_not_let_claims_drive_the_terminal():
    """Control characters come out escaped; times that cannot be are left out."""
    result = run(
        "token", "inspect", given=compact({"alg": "none"}, {"sub": "\x1b[31m", "exp": 1e300, "nbf": True, "iat": "1"})
    )
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("claims", "flags", "reason"),
    [
        (["--claim", "exp:=1"], FOR, "expired"),
        ([], ["--issuer", "https://other", "--audience", "api"], "wrong issuer"),
        ([], ["--issuer", "https://i", "--audience", "web"], "wrong audience"),
        ([], [*FOR, "--algorithm", "RS256"], None),
    ],
)
def test_a_refusal_has_its_reason_and_exit_code_1(
    tmp_path: Path, claims: list[str], flags: list[str], reason: str | None
):
    """The reason is the one the balancer would log; keys that fit no algorithm are a problem of the flags."""
    token = mint(keys(tmp_path), *claims)
    result = run("token", "verify", "--jwks", tmp_path / "jwks.json", *flags, given=token)
    assert result.stdout == ""
    assert result.exit_code == (2 if reason is None else 1)
    assert (f"refused: {reason}" if reason else "the keys cannot be used") in result.stderr
    assert token not in result.output


def test_a_forged_token_is_refused(tmp_path: Path):
    """Another key's signature under the same key id does not pass."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    keys(tmp_path / "a", "ES256", "--kid", "one")
    keys(tmp_path / "b", "ES256", "--kid", "one")
    result = run("token", "verify", "--jwks", tmp_path / "a" / "jwks.json", *FOR, given=mint(tmp_path / "b"))
    assert (result.exit_code, result.stderr) == (1, "refused: bad signature\n")


def test_verify_needs_to_be_told_whom_to_believe(tmp_path: Path):
    """Nothing is left out silently."""
    result = run("token", "verify", given="x")
    assert result.exit_code == 2
    told = zip(result.stderr.splitlines(), ("--jwks: ", "give --issuer", "give --audience"), strict=True)
    assert all(line.startswith(beginning) for line, beginning in told)
    assert run("token", "verify", "--jwks", "https://i/jwks", *FOR, given="x").exit_code == 2
    missing = run("token", "verify", "--jwks", tmp_path / "none", *FOR, given="x")
    assert (missing.exit_code, missing.stderr) == (
        2,
        f"Error: cannot read {tmp_path / 'none'}: No such file or directory\n",
    )
