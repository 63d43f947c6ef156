"""Nothing that a token says about keys makes lbjwt connect anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.proof.keyscene import ask, described, findings, key_scene
from bench.proof.registry import Bar, Result
from tests.harness.keys import SigningKey, b64, new_key
from tests.harness.keyserver import Canary, KeyServer
from tests.harness.load import Job, drive
from tests.harness.publisher import Issuer


def lures(attacker: SigningKey, port: int) -> list[dict[str, Any]]:
    """Header members that offer a key, or a place to fetch one from (RFC 7515 sections 4.1.2 to 4.1.8)."""
    place = f"http://127.0.0.1:{port}"
    key = attacker.jwk()
    return [
        {"jku": f"{place}/jwks"},
        {"x5u": f"{place}/chain.pem"},
        {"jwk": key},
        {"x5c": [b64(b"not a certificate")]},
        {"jku": f"{place}/jwks", "jwk": key, "x5u": f"{place}/chain.pem"},
        {"jku": f"{place}/jwks", "kid": None},
        {"jku": f"https://127.0.0.1:{port}/jwks"},
        {"jku": "file:///etc/passwd"},
        {"jku": f"ftp://127.0.0.1:{port}/jwks"},
        {"jku": "http://169.254.169.254/latest/meta-data"},
        {"jku": "data:application/json," + json.dumps({"keys": [key]})},
        {"kid": f"{place}/jwks"},
        {"jwk": {**key, "kid": "main-0"}},
        {"jku": f"http://localhost:{port}/jwks", "x5t#S256": b64(b"t" * 32)},
    ]


def run(n: int, directory: Path) -> Result:
    """Tokens by a key of the attacker's own, and the same lures in tokens that are good but for them."""
    with KeyServer() as server, Canary() as canary:
        issuer = Issuer(server)
        attacker = new_key("ES256", issuer.signing.kid)
        members = lures(attacker, canary.port)
        with key_scene(directory, [issuer], keys={"refresh_interval": "1h", "cooldown": "1h"}, workers=2) as stage:
            own = [header for header in members if "kid" not in header]
            fetched = issuer.fetches

            def work() -> Iterator[Job]:
                for number in range(n):
                    header = members[number % len(members)]
                    yield ask(f"k9-{number}", issuer.mint(attacker, header=header, jti=f"{number}"))

            samples = drive(stage.port, work(), connections=16)
            honest = drive(
                stage.port,
                (ask(f"own-{number}", issuer.mint(header=header)) for number, header in enumerate(own)),
                connections=4,
            )
            fetches = issuer.fetches - fetched
            found = findings(stage, [*samples, *honest])
        connections = canary.take()
    accepted = sum(sample.status != 401 for sample in samples)
    figure = f"{connections} connections, {accepted} of {n:,} not refused, {fetches} fetches from the issuer"
    # A key id that the issuer might have just published is worth one look, whatever else the token says.
    passed = connections == 0 and accepted == 0 and fetches <= 1 and not found
    note = f"forged: {described(samples)}; signed by the issuer, with lures: {described(honest)}"
    return Result(n, figure, passed, failures=connections + accepted, note="\n".join([note, *found[:5]]))


BAR = Bar(
    "token_urls",
    "tokens with jku, x5u, jwk and the like: 0 connections anywhere, 0 accepted",
    700,
    10_000,
    run,
    alias="K9",
)
