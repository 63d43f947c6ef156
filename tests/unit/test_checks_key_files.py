"""The keys of an issuer that are not fetched: the same ring wherever they stand."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lbjwt.assembly.sources import documents_of, key_ring_of
from lbjwt.checks.key_files import key_findings
from lbjwt.cli import main
from lbjwt.config.issuer import Issuer
from lbjwt.config.problems import Problem
from lbjwt.jose.keyring import KeyRing


def issuer(**keys: Any) -> Issuer:
    """An issuer with some keys."""
    return Issuer(issuer="https://issuer.example", audiences=("api",), **keys)


def ring_of_file(one: Issuer) -> KeyRing:
    """Its keys, as they are read for a look at them."""
    return key_ring_of(one)(*documents_of(one))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a new key pair."""
    (tmp_path / "pem").mkdir()
    for form, directory in (("jwk", tmp_path), ("pem", tmp_path / "pem")):
        assert (
            CliRunner().invoke(main, ["keys", "generate", "--out-dir", str(directory), "--format", form]).exit_code == 0
        )
    return tmp_path


def test_a_set_in_a_file_and_one_in_the_configuration_are_one(place: Path):
    """The same members give the same keys."""
    document = json.loads((place / "jwks.json").read_text())
    rings = [ring_of_file(issuer(jwks_file=place / "jwks.json")), ring_of_file(issuer(jwks=document))]
    assert [key.kid for key in rings[0]] == [key.kid for key in rings[1]] == [document["keys"][0]["kid"]]


def test_a_secret_in_a_file_and_one_in_the_environment_are_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The bytes count, all of them, whatever they mean as text."""
    secret = bytes(range(1, 65))
    (tmp_path / "secret.bin").write_bytes(secret)
    monkeypatch.setenv("LBJWT_SECRET", secret.decode())
    held = [
        issuer(secret_file=tmp_path / "secret.bin", algorithms=("HS512",)),
        issuer(secret_env="LBJWT_SECRET", algorithms=("HS512",)),
    ]
    first, second = ([*ring_of_file(one)] for one in held)
    assert first[0].same_as(second[0])


def test_no_problem_shows_a_key(place: Path, monkeypatch: pytest.MonkeyPatch):
    """A secret that cannot be used, and a private key where a public one belongs, are told without a byte of them."""
    monkeypatch.setenv("LBJWT_SECRET", "S3cr3tCanary")
    private = (place / "pem" / "private.pem").read_text()
    found = [*key_findings("main", issuer(secret_env="LBJWT_SECRET", algorithms=("HS256",)))]
    found += key_findings("main", issuer(pem_file=place / "pem" / "private.pem"))
    assert len(found) == 2
    text = "\n".join(problem.render() for problem in found if isinstance(problem, Problem))
    assert text
    assert "S3cr3tCanary" not in text
    assert all(line not in text for line in private.splitlines()[1:-1])


def test_two_key_sources_are_told_and_neither_is_read(place: Path):
    """The error is that of the configuration; which of the two files holds the keys is not guessed."""
    (place / "lbjwt.yaml").write_text(
        "listeners: [{address: '127.0.0.1:8080'}]\n"
        "issuers: {main: {issuer: https://a.example, audiences: [api], jwks_file: jwks.json, pem_file: pem/public.pem}}\n"
        "clusters: {main: {endpoints: [{address: '127.0.0.1:9001'}]}}\n"
    )
    told = CliRunner().invoke(main, ["check", str(place / "lbjwt.yaml")])
    assert told.exit_code == 2
    assert "give one key source only" in told.output
