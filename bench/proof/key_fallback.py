"""Whatever state the keys are in, no key that everybody knows opens the door."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from bench.proof.keyscene import EveryWorker, ask, break_server, described, findings, key_scene, mend_server
from bench.proof.registry import Bar, Result
from tests.harness.keys import SigningKey, b64, unb64
from tests.harness.keyserver import KeyServer
from tests.harness.load import Job, Sample, drive
from tests.harness.processes import wait_for_port
from tests.harness.publisher import Issuer

VECTORS = Path(__file__).parents[2] / "tests" / "vectors"
STATES = ("never had", "in force", "failing", "withdrawn", "back again")
SECRETS = (
    *(b"", b"\0", b"\0" * 32, b"secret", b"your-256-bit-secret", b"your-384-bit-secret", b"your-512-bit-secret"),
    *(b"your-secret-key", b"changeme", b"password", b"test", b"key", b"null", b"undefined", b"None", b"default"),
    *(b"a-string-secret-at-least-256-bits-long", b"shared-secret", b"jwt-secret", b"0" * 32, b"x" * 64),
)


def samples_of_the_world() -> list[SigningKey]:
    """Keys whose private part stands in standards and tutorials."""
    vectors = json.loads((VECTORS / "rfc7515.json").read_text())
    # RFC 7517 appendix A.2 and RFC 8037 appendix A.1
    curve = ec.derive_private_key(
        int.from_bytes(unb64("870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE"), "big"), ec.SECP256R1()
    )
    edwards = ed25519.Ed25519PrivateKey.from_private_bytes(unb64("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"))
    return [
        SigningKey("HS256", "HS256", unb64(vectors["A.1"]["jwk"]["k"])),
        SigningKey("1", "ES256", curve),
        SigningKey("EdDSA", "EdDSA", edwards),
    ]


def texts_of(issuer: Issuer) -> list[bytes]:
    """The public key in every spelling that has ever been taken for a secret (THREATS A2)."""
    public = issuer.pool[0].private.public_key()
    point, encoding = serialization.PublicFormat.UncompressedPoint, serialization.Encoding
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(encoding.PEM, info)
    jwk = issuer.pool[0].jwk()
    return [
        *(pem, pem.strip(), b" " + pem, b"\n" + pem, pem.replace(b"\n", b"\r\n"), pem + b"\n"),
        public.public_bytes(encoding.DER, info),
        public.public_bytes(encoding.X962, point),
        public.public_bytes(encoding.OpenSSH, serialization.PublicFormat.OpenSSH),
        *(json.dumps(jwk).encode(), json.dumps(jwk, separators=(",", ":")).encode(), issuer.document()),
        *(unb64(jwk["x"]), unb64(jwk["y"]), unb64(jwk["x"] + jwk["y"]) if len(jwk["x"]) % 4 == 0 else b"xy"),
        issuer.pool[0].kid.encode(),
    ]


def forgeries(issuer: Issuer) -> list[Callable[[str], str]]:
    """Makers of tokens that only a known or guessed key signs; each gets an id to put in."""
    made: list[Callable[[str], str]] = []
    kid = issuer.pool[0].kid

    def add(key: SigningKey, **header: Any) -> None:
        made.append(lambda id: issuer.mint(key, header=header, jti=id))

    for secret in (*SECRETS, *texts_of(issuer)):
        for algorithm in ("HS256", "HS512"):
            add(SigningKey(kid, algorithm, secret))
        add(SigningKey(kid, "HS256", secret), kid=None)
    for key in samples_of_the_world():
        add(key)
        add(key, kid=kid)
        add(key, kid=None)
    for spelling in ("none", "None", "NONE", "nOnE", ""):
        made.append(lambda id, spelling=spelling: unsigned(issuer, id, spelling))  # type: ignore[misc]
    return made


def unsigned(issuer: Issuer, id: str, algorithm: str) -> str:
    """A token that says it needs no signature."""
    payload = issuer.mint(jti=id).split(".")[1]
    return f"{b64(json.dumps({'alg': algorithm, 'kid': issuer.pool[0].kid}).encode())}.{payload}."


def run(n: int, directory: Path) -> Result:
    """A fifth of the forgeries in each state; in each, a good token gets what that state promises."""
    each = n // len(STATES)
    samples: dict[str, list[Sample]] = {}
    wrong: list[str] = []
    with KeyServer() as server:
        issuer = Issuer(server)
        makers = forgeries(issuer)
        numbers = count()
        keys = {"refresh_interval": "1s", "timeout": "1s", "max_stale": "6s", "cooldown": "1s"}
        server.close_door()
        with key_scene(directory, [issuer], keys=keys, workers=2, wait_ready=False) as stage:
            wait_for_port(stage.port)

            def work() -> Iterator[Job]:
                for number in islice(numbers, each):
                    yield ask(f"k10-{number}", makers[number % len(makers)](f"{number}"), fresh=number % 8 == 0)

            everyone = EveryWorker(stage, 2)

            def judge(state: str, status: int) -> None:
                if everyone.wait_for(issuer.mint(), status, 30.0) is None:
                    wrong.append(f"{state}: good tokens did not get {status} from every worker")
                samples[state] = drive(stage.port, work(), connections=8)

            judge(STATES[0], 503)
            mend_server(server)
            judge(STATES[1], 200)
            break_server(server, "status 500")
            judge(STATES[2], 200)
            judge(STATES[3], 503)
            mend_server(server)
            judge(STATES[4], 200)
            everyone.close()
            everything = [sample for some in samples.values() for sample in some]
            found = findings(stage, everything, may_fail=True)
    accepted = sum(sample.status not in (400, 401, 503) for sample in everything)
    figure = f"{accepted} of {len(everything):,} forgeries accepted, {len(makers)} kinds in {len(samples)} states of the keys"
    note = "; ".join(f"{state}: {described(some)}" for state, some in samples.items())
    passed = accepted == 0 and not wrong and not found
    return Result(len(everything), figure, passed, failures=accepted, note="\n".join([note, *wrong, *found[:5]]))


BAR = Bar(
    "key_fallback",
    "no fallback to a known key: 0 forgeries by empty, sample and public-as-HMAC keys accepted in any state of the keys",
    1000,
    10_000,
    run,
    alias="K10",
)
