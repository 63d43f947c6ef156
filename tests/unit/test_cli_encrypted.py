"""Encrypted tokens by hand: looked at, verified and revoked with `--decrypt`."""

import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lbjwt.cli import main
from tests.unit.auth_tokens import ISSUER, claims, jwk_of, rsa_key, token
from tests.unit.encrypted_tokens import encrypt, private_jwk, recipient


def run(*arguments: object, given: bytes) -> Result:
    """One command; the token on standard input, and never in the output."""
    result = CliRunner().invoke(main, list(map(str, arguments)), input=given)
    assert given.decode() not in result.output
    return result


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The issuer's public key, our private one, and one that opens nothing."""
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [jwk_of(rsa_key(), kid="s1")]}))
    (tmp_path / "key.jwk").write_text(json.dumps(private_jwk(recipient("P-256"))))
    (tmp_path / "other.pem").write_bytes(recipient("P-256", 1).as_pem(private=True))
    return tmp_path


def sealed(**changes: object) -> bytes:
    """A good token, encrypted to our key."""
    now = int(time.time())
    text = token(claims(iat=now, exp=now + 300, jti="j1", **changes), algorithm="RS256", key=rsa_key(), kid="s1")
    return encrypt(text, recipient("P-256"), "ECDH-ES")


def test_inspect_shows_what_is_inside(directory: Path):
    """With one of several keys; without any, it says what is needed."""
    result = run(
        "token", "inspect", "--decrypt", directory / "other.pem", "--decrypt", directory / "key.jwk", given=sealed()
    )
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert (shown["header"]["kid"], shown["claims"]["sub"]) == ("s1", "user-1")
    assert "NOT VERIFIED" in result.stderr
    assert "give its private key with --decrypt FILE" in run("token", "inspect", given=sealed()).stderr
    refused = run("token", "inspect", "--decrypt", directory / "other.pem", given=sealed())
    assert (refused.exit_code, "cannot be decrypted: decryption failed" in refused.stderr) == (1, True)
    missing = run("token", "inspect", "--decrypt", directory / "none.pem", given=sealed())
    assert (missing.exit_code, "cannot read" in missing.stderr) == (1, True)


def test_verify_checks_the_signature_inside(directory: Path):
    """An encrypted token is as good as the signed one in it."""
    options = ("--jwks", directory / "jwks.json", "--issuer", ISSUER, "--audience", "api")
    good = run("token", "verify", *options, "--decrypt", directory / "key.jwk", given=sealed())
    assert (good.exit_code, json.loads(good.stdout)["sub"]) == (0, "user-1")
    assert run("token", "verify", *options, given=sealed()).exit_code == 1
    wrong = run("token", "verify", *options, "--decrypt", directory / "key.jwk", given=sealed(aud="web"))
    assert (wrong.exit_code, "wrong audience" in wrong.stderr) == (1, True)


def test_revoke_reads_the_jti_inside(directory: Path):
    """And writes nothing of the token but that."""
    file = directory / "revoked.jsonl"
    file.touch()
    options = ("revoke", "--token", "-", "--file", file)
    assert "give its private key with --decrypt FILE" in run(*options, given=sealed()).stderr
    assert run(*options, "--decrypt", directory / "key.jwk", given=sealed()).exit_code == 0
    assert json.loads(file.read_text())["jti"] == "j1"
    assert (
        run("revoke", "--jti", "a", "--decrypt", directory / "key.jwk", "--file", file, given=sealed()).exit_code == 2
    )
