"""ML-DSA keys: what a JWK of type AKP must hold, and what happens where cryptography does not know them."""

from typing import Any

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from lbjwt._fastverify import DenyReason
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import KeyFormatError
from lbjwt.jose import mldsa
from lbjwt.jose.imports import import_jwk
from lbjwt.jose.keyring import KeyRing
from lbjwt.jose.keys import public_key, secret_key
from lbjwt.jose.pem import import_pem
from tests.unit.auth_tokens import (
    ISSUER,
    MLDSA,
    NOW,
    b64,
    judged,
    jwk_of,
    private_key,
    public_pem,
    rsa_key,
    sign,
    token,
    verifier,
)

NAMES = sorted(MLDSA)
GOOD = jwk_of(private_key("ML-DSA-44"))


@pytest.mark.parametrize("algorithm", NAMES)
def test_a_key_serves_its_own_algorithm_only(algorithm: str):
    """The key names what it is for (RFC 9964), so nobody has to list it; a list without it refuses the key."""
    key, warnings = import_jwk(jwk_of(private_key(algorithm), kid="k1"))
    assert (key.kty, key.crv, warnings) == ("AKP", algorithm, ())
    assert key.algorithms == {algorithm}
    check = key.check_for(algorithm)
    assert check is not None and check.signature_size == {"44": 2420, "65": 3309, "87": 4627}[algorithm[-2:]]
    for other in NAMES:
        if other != algorithm:
            assert key.check_for(other) is None
            with pytest.raises(KeyFormatError):
                import_jwk({**jwk_of(private_key(algorithm)), "alg": other})
    for jwk_or_pem in (
        lambda: import_jwk(jwk_of(private_key(algorithm)), allowed=["RS256"]),
        lambda: import_pem(public_pem(algorithm), allowed=["RS256"]),
    ):
        with pytest.raises(KeyFormatError, match=r"RS256|configured"):
            jwk_or_pem()


@pytest.mark.parametrize(
    "change",
    [
        {"alg": None},
        {"alg": "ML-DSA"},
        {"alg": "ml-dsa-44"},
        {"alg": "ML-DSA-65"},
        {"alg": "ES256"},
        {"alg": "HS256"},
        {"alg": ["ML-DSA-44"]},
        {"pub": None},
        {"pub": ""},
        {"pub": "AAAA"},
        {"pub": 5},
        {"pub": GOOD["pub"] + "="},
        {"pub": GOOD["pub"][:-2]},
        {"pub": GOOD["pub"] + "AA"},
        {"pub": " " + GOOD["pub"]},
        {"pub": b64(bytes(1313))},
        {"kty": "OKP"},
        {"kty": "akp"},
        {"use": "enc"},
        {"key_ops": ["sign"]},
    ],
)
def test_b10_a_bad_akp_jwk_is_a_key_format_error(change: dict[str, Any]):
    """`alg` is required, `pub` is base64url of the exact length, and all rules of other keys hold."""
    jwk = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    with pytest.raises(KeyFormatError) as caught:
        import_jwk(jwk)
    assert GOOD["pub"][:20] not in str(caught.value)


@pytest.mark.parametrize("size", [0, 1, 1311, 1313, 1952, 100_000])
def test_a_key_of_another_length_is_told_so(size: int):
    """Before anything of it is looked at."""
    with pytest.raises(KeyFormatError, match="pub is not base64url" if not size else "1312 bytes of ML-DSA-44"):
        import_jwk({**GOOD, "pub": b64(bytes(size))})


def test_a_key_without_alg_is_no_key_even_when_the_list_would_decide():
    """RFC 9964 requires it: without it nothing says what `pub` means."""
    silent = {name: value for name, value in GOOD.items() if name != "alg"}
    with pytest.raises(KeyFormatError, match="alg and pub"):
        import_jwk(silent, allowed=["ML-DSA-44"])


def test_b13_the_seed_in_a_public_set_is_dropped_with_a_warning():
    """`priv` is a private member like `d`."""
    key, warnings = import_jwk({**GOOD, "priv": b64(private_key("ML-DSA-44").private_bytes_raw())})
    assert key.same_as(import_jwk(GOOD)[0])
    assert "lbjwt ignored private members" in warnings[0]


@pytest.mark.parametrize("algorithm", NAMES)
def test_a_token_of_the_default_size_limit_passes(algorithm: str):
    """8 KiB are enough for the longest signature with usual claims; one with a context is refused, as is another algorithm's name."""
    one = verifier(algorithm)
    text = token(algorithm=algorithm)
    assert len(text) < IssuerPolicy(issuer=None, audiences=None).max_token
    assert judged(one.verify(text, NOW)) == "NONE"
    signed = text.rpartition(b".")[0]
    with_context = private_key(algorithm).sign(signed, b"context")
    assert judged(one.verify(signed + b"." + b64(with_context).encode(), NOW)) == "BAD_SIGNATURE"
    for other in (*NAMES, "RS256", "HS256"):
        if other != algorithm:
            renamed = token(algorithm=algorithm, header={"alg": other, "kid": "k1"})
            assert judged(one.verify(renamed, NOW)) == "ALGORITHM_REFUSED"


def test_the_issuer_may_list_other_algorithms_only():
    """A key set with an ML-DSA key beside an RSA key, for an issuer of RS256: the ML-DSA key is left out and its tokens find no key."""
    members = [jwk_of(private_key("ML-DSA-44"), kid="pq"), jwk_of(rsa_key(), kid="rsa")]
    ring = KeyRing.from_jwks({"keys": members}, algorithms=["RS256"])
    assert [key.kid for key in ring] == ["rsa"]
    policy = IssuerPolicy(issuer=ISSUER, audiences=("api",), algorithms=("RS256",))
    verdict = Verifier(ring, policy).verify(token(algorithm="ML-DSA-44", kid="pq"), NOW)
    assert verdict.reason is DenyReason.ALGORITHM_REFUSED


def test_a2_a_public_key_is_no_secret():
    """PEM and JWK text of an ML-DSA key are recognised where a secret is expected."""
    for text in (public_pem("ML-DSA-44"), b'{"kty":"AKP","pub":"' + GOOD["pub"].encode() + b'"}'):
        with pytest.raises(KeyFormatError, match="cannot be used as a secret"):
            secret_key(text, allowed=["HS256"])


class NoMLDSA:
    """The module of a cryptography that knows the types while its OpenSSL does not."""

    class MLDSA44PublicKey:
        @classmethod
        def from_public_bytes(cls, data: bytes) -> None:
            raise UnsupportedAlgorithm("ML-DSA-44 is not supported by this backend.")

    MLDSA65PublicKey = MLDSA87PublicKey = MLDSA44PublicKey


@pytest.mark.parametrize("module", [None, NoMLDSA], ids=["no module", "no backend"])
def test_an_older_cryptography_skips_the_key_and_says_why(monkeypatch: pytest.MonkeyPatch, module: Any):
    """The other keys of the set work; the warning names what is missing; nothing fails with an import error."""
    monkeypatch.setattr(mldsa, "mldsa", module)
    ring = KeyRing.from_jwks({"keys": [GOOD, jwk_of(rsa_key(), kid="rsa")]})
    assert [key.kid for key in ring] == ["rsa"]
    assert ring.warnings == (
        "key 0 was left out: the installed version of cryptography does not support ML-DSA-44; install 48.0 or newer",
    )
    with pytest.raises(KeyFormatError, match="type of key"):
        public_key(private_key("ML-DSA-44").public_key())
    check = import_jwk(jwk_of(private_key("EdDSA")))[0].check_for("Ed25519")
    assert check is not None and check.verify(sign("Ed25519", b"text"), b"text")
