"""`lbjwt explain` and the keys that are fetched: now, from the state directory, or not at all."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lbjwt.cli import main
from lbjwt.keys.feed import StoredKeySet
from lbjwt.keys.store import write
from lbjwt.keys.uri import identity_of
from tests.harness.keyserver import DISCOVERY, Answer, KeyServer
from tests.unit.auth_tokens import jwk_of, private_key, token

JWKS = json.dumps({"keys": [jwk_of(private_key("ES256"), kid="k1")]})
OTHER = json.dumps({"keys": [jwk_of(private_key("EdDSA"), kid="k2")]})


@pytest.fixture
def server() -> Iterator[KeyServer]:
    """The web server of an issuer, with metadata and keys."""
    with KeyServer() as server:
        metadata = json.dumps({"issuer": server.url, "jwks_uri": f"{server.url}/jwks"}).encode()
        server.documents |= {DISCOVERY: lambda: metadata, "/jwks": JWKS.encode}
        yield server


@pytest.fixture
def file(tmp_path: Path, server: KeyServer) -> Path:
    """A configuration of this issuer, of another one behind the same server, and of one in a file that is not there."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / "keys").mkdir(mode=0o700)
    document = {
        "listeners": [{"address": "127.0.0.1:8080"}],
        "issuers": {
            "main": {"issuer": server.url, "audiences": ["api"], "discovery": {"timeout": "60s", "max_stale": "1h"}},
            "far": {"issuer": "https://far", "audiences": ["api"], "remote_jwks": {"uri": f"{server.url}/far"}},
            "each": {
                "issuer": "https://each",
                "audiences": ["api"],
                "remote_keys": {"uri": f"{server.url}/keys/{{kid}}"},
            },
            "gone": {"issuer": "https://gone", "audiences": ["api"], "jwks_file": "gone.json"},
        },
        "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9001"}]}},
        "state_directory": str(state),
    }
    path = tmp_path / "lbjwt.yaml"
    path.write_text(json.dumps(document))
    return path


def store(file: Path, server: KeyServer, *, age: float = 60.0, document: str = JWKS, issuer: str | None = None) -> Path:
    """A copy that a keeper left so many seconds ago."""
    path = file.parent / "state" / "keys" / "main.json"
    fetched = time.time() - age
    write(path, StoredKeySet(identity_of(issuer=issuer or server.url), fetched, fetched + 3600, document))
    return path


def explained(file: Path, issuer: str, *options: str, kid: str = "k1") -> tuple[dict[str, Any], int]:
    """The JSON for a good token of an issuer, and the exit code."""
    now = int(time.time())
    said = {"iss": issuer, "aud": "api", "sub": "u", "iat": now, "exp": now + 300}
    text = token(said, algorithm="ES256", kid=kid).decode()
    result = CliRunner().invoke(main, ["explain", str(file), "--json", *options], input=text)
    assert text not in result.output
    return json.loads(result.stdout), result.exit_code


def test_keys_are_fetched_now_and_only_where_they_are_needed(file: Path, server: KeyServer):
    """By discovery; the other issuers of the configuration are not asked, and nothing is written."""
    story, code = explained(file, server.url)
    assert (story["verdict"], code) == ("allowed", 0)
    assert story["tokens"][0]["keys_from"] == f"{server.url}/jwks"
    assert [fetch.path for fetch in server.fetches] == [DISCOVERY, "/jwks"]
    assert list((file.parent / "state" / "keys").iterdir()) == []
    assert explained(file, "https://nobody")[0]["reason"] == "wrong_issuer"
    assert server.count() == 2


def test_the_key_that_the_token_names_is_fetched(file: Path, server: KeyServer):
    """Where each key has a URL of its own; one that is not there is told with its id."""
    server.documents["/keys/k1"] = lambda: json.dumps(jwk_of(private_key("ES256"), kid="k1")).encode()
    story, code = explained(file, "https://each")
    assert (story["verdict"], code) == ("allowed", 0)
    assert [fetch.path for fetch in server.fetches] == ["/keys/k1"]
    story, code = explained(file, "https://each", kid="other")
    assert (story["reason"], code) == ("unknown_key", 1)
    assert [fetch.path for fetch in server.fetches] == ["/keys/k1", "/keys/other"]


def test_offline_takes_the_stored_copy(file: Path, server: KeyServer):
    """Told with its age, and with what a running lbjwt would do about a key id that is not in it."""
    store(file, server)
    story, code = explained(file, server.url, "--offline")
    assert (story["verdict"], code, server.count()) == ("allowed", 0, 0)
    assert story["tokens"][0]["keys_from"].endswith("state/keys/main.json")
    assert [
        note for note in story["notes"] if "lbjwt fetches no keys when offline" in note and "fetches the keys" in note
    ]
    assert explained(file, server.url, "--offline", kid="new")[0]["reason"] == "unknown_key"


@pytest.mark.parametrize("answer", [Answer(hang=True), Answer(status=503), Answer(body=b"<html>")])
def test_a_fetch_that_fails_leaves_the_stored_copy(file: Path, server: KeyServer, answer: Answer):
    """As in a lbjwt that starts without its issuer; without a copy the verdict is not known, and the cause is told."""
    server.answers["/jwks"] = answer
    file.write_text(file.read_text().replace('"timeout": "60s"', '"timeout": "1500ms"'))
    story, code = explained(file, server.url)
    assert (story["verdict"], code) == ("unknown", 2)
    assert [
        note
        for note in story["notes"]
        if "there are no stored keys" in note and "A running lbjwt may still have keys" in note
    ]
    store(file, server)
    story, code = explained(file, server.url)
    assert (story["verdict"], code) == ("allowed", 0)


def test_a_copy_that_must_not_be_used_is_not(file: Path, server: KeyServer):
    """Too old, of another issuer, writable for others, or damaged."""
    store(file, server, age=3700)
    assert explained(file, server.url, "--offline")[1] == 2
    store(file, server, issuer="https://other")
    assert "another source" in str(explained(file, server.url, "--offline")[0]["notes"])
    path = store(file, server)
    path.chmod(0o666)
    assert explained(file, server.url, "--offline")[1] == 2
    path.chmod(0o600)
    assert explained(file, server.url, "--offline")[1] == 0
    path.write_text("{")
    assert "damaged" in str(explained(file, server.url, "--offline")[0]["notes"])


def test_keys_of_a_file_and_of_the_environment(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Read now; one that cannot be read leaves the verdict open."""
    story, code = explained(file, "https://gone")
    assert (story["verdict"], code) == ("unknown", 2)
    assert "gone.json" in str(story["notes"])
    (tmp_path / "gone.json").write_text(JWKS)
    assert explained(file, "https://gone")[1] == 0
    text = file.read_text().replace(
        '"jwks_file": "gone.json"', '"secret_env": "LBJWT_TEST_SECRET", "algorithms": ["HS256"]'
    )
    file.write_text(text)
    assert "LBJWT_TEST_SECRET is not set" in str(explained(file, "https://gone")[0]["notes"])
    secret = os.urandom(32).hex()
    monkeypatch.setenv("LBJWT_TEST_SECRET", secret)
    said = {"iss": "https://gone", "aud": "api", "exp": int(time.time()) + 60}
    text = token(said, algorithm="HS256", key=secret.encode()).decode()
    result = CliRunner().invoke(main, ["explain", str(file)], input=text)
    assert result.exit_code == 0 and secret not in result.output and "oct, 512 bits, with HS256" in result.stdout


def test_a_rotated_key_is_seen(file: Path, server: KeyServer):
    """What the issuer says now counts, not the copy of before."""
    store(file, server)
    server.documents["/jwks"] = OTHER.encode
    story, code = explained(file, server.url)
    assert (story["reason"], code) == ("unknown_key", 1)
    (said,) = [step["detail"] for step in story["steps"] if step["reason"] == "unknown_key"]
    assert said == 'no key has the id "k1"; the keys are "k2" (OKP Ed25519, 256 bits)'
