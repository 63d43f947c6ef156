"""The `jwe` section: from files to keys that decrypt, and what `check` says about them."""

import json
from pathlib import Path

import pytest

from lbjwt.assembly.issuers import issuer_instances, trusted_issuers
from lbjwt.checks.registry import file_findings
from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration
from lbjwt.config.problems import Problem
from lbjwt.keys.errors import KeySourceError
from tests.unit.encrypted_tokens import decryption_key, private_jwk, recipient


def configuration(directory: Path, jwe: str) -> Configuration:
    return load_text(
        f"""
listeners: [{{address: "127.0.0.1:8080"}}]
clusters: {{main: {{endpoints: [{{address: "127.0.0.1:9001"}}]}}}}
issuers: {{main: {{issuer: "https://a.test", audiences: [api], jwks: {{keys: []}}, jwe: {jwe}}}}}
""",
        directory,
    )


def test_keys_come_from_files(tmp_path: Path):
    """PEM, JWK and JWK Set; the same key twice is one. Files that are equal make an issuer that is equal, others do not."""
    curve, rsa = recipient("P-256"), recipient("RSA")
    (tmp_path / "one.pem").write_bytes(curve.as_pem(private=True))
    (tmp_path / "set.json").write_text(json.dumps({"keys": [private_jwk(rsa, kid="r"), private_jwk(curve)]}))
    made = configuration(
        tmp_path, "{key_files: [one.pem, set.json], algorithms: [ECDH-ES, RSA-OAEP-256], required: true}"
    )
    first = trusted_issuers(made, issuer_instances(made))
    decryption = first[0].decryption
    assert decryption is not None
    assert decryption.keys == (decryption_key(curve), decryption_key(rsa, kid="r"))
    assert (decryption.algorithms, decryption.encryptions, decryption.required) == (
        ("ECDH-ES", "RSA-OAEP-256"),
        None,
        True,
    )
    assert trusted_issuers(made, issuer_instances(made)) == first
    (tmp_path / "one.pem").write_bytes(recipient("P-256", 1).as_pem(private=True))
    assert trusted_issuers(made, issuer_instances(made)) != first


def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path):
    """With its name and what is wrong, and nothing of what is in it."""
    made = configuration(tmp_path, "{key_files: [key.jwk]}")
    with pytest.raises(KeySourceError, match=r"cannot read .*key\.jwk"):
        trusted_issuers(made, issuer_instances(made))
    (tmp_path / "key.jwk").write_text(json.dumps(recipient("P-256").as_dict(private=False)))
    with pytest.raises(KeySourceError, match=r"key\.jwk cannot be used to decrypt tokens: it is a public key"):
        trusted_issuers(made, issuer_instances(made))


def test_check_tells_what_is_wrong_with_the_files(tmp_path: Path):
    """A file that is missing, one that is no key, and one that everybody can read."""
    (tmp_path / "bad.jwk").write_text("{}")
    good = tmp_path / "good.jwk"
    good.write_text(json.dumps(private_jwk(recipient("P-256"))))
    good.chmod(0o644)
    made = configuration(tmp_path, "{key_files: [missing.jwk, bad.jwk, good.jwk]}")
    found = {
        one.path[-1]: one for one in file_findings(made, "check") if isinstance(one, Problem) and "jwe" in one.path
    }
    assert [(found[at].level, found[at].code) for at in range(3)] == [
        ("error", "key-file"),
        ("error", "key-file"),
        ("warning", "secret-open"),
    ]
    good.chmod(0o600)
    assert not [one for one in file_findings(made, "check") if isinstance(one, Problem) and one.path[-1:] == (2,)]
