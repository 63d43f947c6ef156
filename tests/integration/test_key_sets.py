"""Key sets of real issuers over real sockets: the program fetches or reads them, and its log tells which keys came and went."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.harness.backend import Backend
from tests.harness.balancer import Balancer
from tests.harness.behaviour import good
from tests.harness.client import Client
from tests.harness.keys import SigningKey, b64, new_key
from tests.harness.keyserver import KeyServer
from tests.harness.tokens import TokenFactory
from tests.harness.waiting import eventually

TOKENS = TokenFactory()
KEYS = [new_key("RS256", f"k{at}") for at in range(3)]


def claims() -> dict[str, Any]:
    """Good ones."""
    return {"iss": TOKENS.issuer, "aud": TOKENS.audience, "sub": "alice", "exp": int(time.time()) + 300}


def logged(balancer: Balancer, line: str) -> bool:
    """The line is in its log."""
    return line in balancer.stderr


def answer(balancer: Balancer, token: str) -> int:
    """The status of a request with a token, on a connection of its own."""
    with Client(balancer.port) as client:
        return client.ask(token=token).status


def status(balancer: Balancer, key: SigningKey, **header: Any) -> int:
    """What a request with a new token by the key gets."""
    return answer(balancer, key.token(claims() | {"nonce": b64(os.urandom(6))}, **header))


@pytest.fixture
def backend() -> Iterator[Backend]:
    """One that answers."""
    with Backend(good) as running:
        yield running


def test_certificates_as_names_cause_no_fetch_and_rotations_are_logged(tmp_path: Path, backend: Backend) -> None:
    """A set as ADFS publishes it: tokens with x5t alone, known or made up, are judged by the keys there are; keys that change are logged once."""
    names = [b64(os.urandom(20)) for _ in KEYS]
    documents = [[key.jwk(kid=name, x5t=name, x5c=None) for key, name in zip(KEYS[:2], names, strict=False)]]
    with KeyServer() as server:
        server.documents["/jwks"] = lambda: json.dumps({"keys": documents[-1]}).encode()
        issuer = {"jwks_file": ..., "remote_jwks": {"uri": f"{server.url}/jwks", "cooldown": "1s"}}
        with Balancer(tmp_path, TOKENS, [backend.address], issuers={"main": issuer}, workers=2) as balancer:
            fetches = server.count()
            for _ in range(4):
                assert [
                    status(balancer, key, kid=None, x5t=name) for key, name in zip(KEYS[:2], names, strict=False)
                ] == [200, 200]
                assert status(balancer, KEYS[1], kid="", x5t=b64(os.urandom(20))) == 200
                assert status(balancer, KEYS[2], kid=None, x5t=b64(os.urandom(20))) == 401
            assert server.count() == fetches
            documents.append([KEYS[1].jwk(kid=names[1], x5t=names[1]), KEYS[2].jwk(kid=names[2])])
            assert eventually(lambda: status(balancer, KEYS[2], kid=names[2]) == 200), (
                "an unknown key id does cause one"
            )
            for line in (
                *(f"issuer main: key added: id '{name}', RS256, from {server.url}/jwks" for name in names),
                f"issuer main: key removed: id '{names[0]}', RS256, no longer in {server.url}/jwks",
            ):
                assert eventually(partial(logged, balancer, line)) and balancer.stderr.count(line) == 1


def test_secrets_of_several_files_are_rotated_without_a_restart(tmp_path: Path, backend: Backend) -> None:
    """Both are good; the old one's tokens, also those verified before, end when its file holds the new one; a removed file withdraws nothing."""
    secrets = [new_key("HS256", "s") for _ in range(2)]
    files = [tmp_path / f"secret{at}.bin" for at in range(2)]
    for file, key in zip(files, secrets, strict=True):
        file.write_bytes(key.private)
        file.chmod(0o600)
    issuer = {"jwks_file": ..., "algorithms": ["HS256"], "secret_files": [str(file) for file in files]}
    with Balancer(tmp_path, TOKENS, [backend.address], issuers={"main": issuer}) as balancer:
        assert [status(balancer, key) for key in (*secrets, new_key("HS256", "s"))] == [200, 200, 401]
        known = secrets[0].token(claims())
        assert answer(balancer, known) == 200
        files[0].rename(tmp_path / "away")
        assert eventually(lambda: f"{files[0]}: No such file" in balancer.stderr)
        assert answer(balancer, known) == 200
        files[0].write_bytes(secrets[1].private)
        assert eventually(lambda: answer(balancer, known) == 401)
        assert [status(balancer, key) for key in secrets] == [401, 200]
        line = "key removed: without id, HS256"
        assert eventually(partial(logged, balancer, line)) and balancer.stderr.count(line) == 1
        assert not any(b64(key.private) in balancer.stderr for key in secrets)


def test_oct_keys_of_a_local_key_set(tmp_path: Path, backend: Backend) -> None:
    """By key id, when the issuer lists HS algorithms alone."""
    secrets = [new_key("HS256", f"s{at}") for at in range(2)]
    file = tmp_path / "secrets.json"
    file.write_text(json.dumps({"keys": [key.jwk() for key in secrets]}))
    file.chmod(0o600)
    issuer = {"jwks_file": str(file), "algorithms": ["HS256"]}
    with Balancer(tmp_path, TOKENS, [backend.address], issuers={"main": issuer}) as balancer:
        assert [status(balancer, key) for key in secrets] == [200, 200]
        assert status(balancer, secrets[0], kid="s1") == 401
