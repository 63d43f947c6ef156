"""The log of keys that come and go: one line each, with who, which, for what and why, and never without a bound."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.assembly.keys import EmbeddedControl
from lbjwt.assembly.revocations import RevokedKeys
from lbjwt.auth.revocation import Revocation
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.log import MOST_LINES, log_key_changes
from lbjwt.observe._board import Board
from lbjwt.revocation.reader import RevocationReader
from tests.unit.assembly_cases import configuration, load
from tests.unit.auth_tokens import jwk_of, private_key, rsa_key

RSA = {"kid": "k1", "alg": "RS256"}


def ring(*members: dict[str, Any]) -> KeyRing:
    return KeyRing.from_jwks({"keys": list(members)})


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The lines about keys since the last look."""
    caplog.set_level(logging.INFO, "lbjwt.jwks")

    def take() -> list[str]:
        lines = [message for message in caplog.messages if ": key " in message or "changes of keys" in message]
        caplog.clear()
        return lines

    return take


def test_keys_that_come_and_go_are_one_line_each(said: Callable[[], list[str]]) -> None:
    """Added, removed, replaced under the old id, withdrawn for their age; and nothing is said of those that stay."""
    first = ring(jwk_of(rsa_key(), **RSA), jwk_of(private_key("EdDSA")))
    log_key_changes("main", None, first, source="https://i.test/jwks")
    assert said() == [
        "issuer main: key added: id 'k1', RS256, from https://i.test/jwks",
        "issuer main: key added: without id, Ed25519 EdDSA, from https://i.test/jwks",
    ]
    log_key_changes("main", first, ring(jwk_of(rsa_key(), **RSA), jwk_of(private_key("EdDSA"))), source="x")
    assert said() == []
    second = ring(jwk_of(rsa_key(1), **RSA), jwk_of(private_key("EdDSA")))
    log_key_changes("main", first, second, source="x")
    assert said() == [
        "issuer main: key added: id 'k1', RS256, from x",
        "issuer main: key removed: id 'k1', RS256, no longer in x",
    ]
    log_key_changes("main", second, None, source="x")
    assert said() == [
        "issuer main: key removed: id 'k1', RS256, not confirmed for max_stale by x",
        "issuer main: key removed: without id, Ed25519 EdDSA, not confirmed for max_stale by x",
    ]


def test_a_huge_rotation_does_not_fill_the_log(said: Callable[[], list[str]]) -> None:
    """Every key new at once: a bounded number of lines, and how many more there were."""
    many = [ring(*(jwk_of(private_key("ES256"), kid=f"{name}{at}") for at in range(60))) for name in "ab"]
    log_key_changes("main", *many, source="x")
    lines = said()
    assert len(lines) == MOST_LINES + 1
    assert lines[-1] == "and 100 more changes of keys"


@pytest.mark.parametrize("slot", [0, 1])
def test_one_of_the_workers_tells_of_the_keys_of_a_file(
    tmp_path: Path, said: Callable[[], list[str]], slot: int
) -> None:
    """The first; it tells at the start and of each change, with the name of the file."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [jwk_of(private_key("ES256"), kid="old")]}))
    made = configuration(f"  main: {{issuer: i, audiences: [api], jwks_file: {path}}}")
    instances = issuer_instances(made)
    board = Board(2, 1, 1)
    board.attach(slot)
    verifier = new_verifier(made, instances)
    first: list[str] = []

    async def scenario() -> None:
        keys = await load(instances, verifier, board, EmbeddedControl(instances, board, None))
        first.extend(said())
        path.write_text(json.dumps({"keys": [jwk_of(private_key("ES256"), kid="new-one")]}))
        keys.start()
        async with asyncio.timeout(5.0):
            while not (verifier.keys and verifier.keys.candidates("new-one")):
                await asyncio.sleep(0.05)
        await keys.stop()

    asyncio.run(scenario())
    lines = [
        f"issuer main: key added: id 'old', ES256, from {path}",
        f"issuer main: key added: id 'new-one', ES256, from {path}",
        f"issuer main: key removed: id 'old', ES256, no longer in {path}",
    ]
    assert first + said() == (lines if slot == 0 else [])


def test_a_key_that_is_revoked_by_its_id_is_told_once(said: Callable[[], list[str]]) -> None:
    """Of the issuer that is meant, however often the revocations change, and again when the revocation is gone."""
    made = configuration(
        "".join(f"  {name}: {{issuer: https://{name}, audiences: [api], jwks_file: /none}}\n" for name in "ab")
    )
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    for at in range(2):
        verifier.publish(ring(jwk_of(rsa_key(at), **RSA), jwk_of(private_key("EdDSA"))), at)
    reader = RevocationReader(log=None, file=None, on_change=lambda more: None, max_entries=10)
    keys = RevokedKeys(instances, verifier, reader)
    keys.look()
    later = 4_000_000_000.0
    reader.filed.add([Revocation("kid", "k1", later, issuer="https://b"), Revocation("jti", "k1", later)], 1.0)
    for _ in range(2):
        keys.look()
    assert said() == ["issuer b: key revoked by its id: id 'k1', RS256"]
    reader.filed.replace([], 1.0)
    keys.look()
    assert said() == ["issuer b: key no longer revoked by its id: id 'k1', RS256"]
