"""Import of keys: THREATS table B and the sizes of table A."""

import gc
import random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lbjwt.errors import KeyFormatError, LbjwtError
from lbjwt.jose.imports import import_jwk
from lbjwt.jose.keys import VerificationKey, public_key, secret_key
from lbjwt.jose.pem import import_pem
from lbjwt.jose.weak import edwards_weakness, has_roca_fingerprint, rsa_weakness
from tests.unit.auth_tokens import ALGORITHMS, b64, certificate, jwk_of, number, private_key, public_pem, rsa_key, sign

RSA_N = rsa_key().public_key().public_numbers().n


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name[:2] != "HS"])
def test_a_jwk_and_a_pem_of_one_key_check_the_same(algorithm: str):
    """Both ways lead to keys with the same algorithms that accept the same signature and refuse a changed one."""
    from_jwk, warnings = import_jwk(jwk_of(private_key(algorithm)))
    (from_pem,) = import_pem(public_pem(algorithm), allowed=["ES256K"] if algorithm == "ES256K" else None)
    assert warnings == ()
    assert from_jwk.same_as(from_pem)
    assert algorithm in from_jwk.algorithms
    signature = sign(algorithm, b"text")
    for key in (from_jwk, from_pem):
        check = key.check_for(algorithm)
        assert check is not None
        assert check.verify(signature, b"text")
        assert not check.verify(signature, b"test")
        assert key.check_for("HS256") is None
        assert key.check_for("none") is None


def test_a_key_that_nobody_uses_is_gone_without_the_garbage_collector():
    """Workers collect garbage rarely: a key that was replaced, and its check, must not wait for that."""

    def living() -> int:
        return sum(type(found) is VerificationKey for found in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = living()
        for algorithm in ALGORITHMS:
            hmac = algorithm[:2] == "HS"
            key = secret_key(b"k" * 64, allowed=[algorithm]) if hmac else import_jwk(jwk_of(private_key(algorithm)))[0]
            assert living() == before + 1
            assert key.check_for(next(iter(key.algorithms))) is not None
            del key
            assert living() == before
    finally:
        gc.enable()


def test_algorithms_follow_type_and_curve():
    """The closed sets of RFC 7518 and RFC 9864."""
    rs = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
    assert import_jwk(jwk_of(rsa_key()))[0].algorithms == rs
    assert import_jwk(jwk_of(private_key("ES384")))[0].algorithms == {"ES384"}
    assert import_jwk(jwk_of(private_key("EdDSA")))[0].algorithms == {"EdDSA", "Ed25519"}
    assert import_jwk(jwk_of(private_key("Ed448")))[0].algorithms == {"EdDSA", "Ed448"}
    assert import_jwk(jwk_of(rsa_key(), alg="PS256"))[0].algorithms == {"PS256"}
    assert import_jwk(jwk_of(rsa_key()), allowed=["RS256", "ES256"])[0].algorithms == {"RS256"}


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": None},
        {"kty": "rsa"},
        {"kty": "AKP"},
        {"kty": ["RSA"]},
        {"kty": "oct", "k": "AAAA"},
        {"n": None},
        {"e": None},
        {"n": 5},
        {"e": 65537},
        {"n": ""},
        {"e": "AQAB="},
        {"e": "AQ AB"},
        {"e": "é"},
        {"e": "\ud800"},
        {"n": "A" * 100_000},
        {"alg": "none"},
        {"alg": "RSA-OAEP"},
        {"alg": "ES256"},
        {"alg": "HS256"},
        {"alg": 5},
        {"alg": ["RS256"]},
        {"kid": 5},
        {"kid": "k" * 257},
        {"kid": "a\nb"},
        {"kid": "a\x00"},
    ],
)
def test_b10_a_bad_rsa_jwk_is_a_key_format_error(changes: dict[str, Any]):
    """Whatever is wrong with a member, it is one kind of error, with no key material in its words."""
    jwk = {**jwk_of(rsa_key()), **changes}
    if changes.get("n", 0) is None or changes.get("e", 0) is None or ("kty" in changes and changes["kty"] is None):
        jwk = {name: value for name, value in jwk.items() if value is not None}
    with pytest.raises(KeyFormatError) as caught:
        import_jwk(jwk)
    assert jwk_of(rsa_key())["n"][:20] not in str(caught.value)


@pytest.mark.parametrize(
    ("n", "e"),
    [
        (RSA_N >> 1025 | 1, 65537),
        (RSA_N >> 1 | 1, 65537),
        ((RSA_N << 8192) | 1, 65537),
        (RSA_N << 6200 | 1, 65537),
        (RSA_N - 1, 65537),
        (RSA_N, 1),
        (RSA_N, 0),
        (RSA_N, 2),
        (RSA_N, 65536),
        (RSA_N, 2**32 + 1),
        (RSA_N, RSA_N - 2),
        (0, 3),
        (1, 3),
    ],
    ids=range(13),
)
def test_b15_weak_rsa_numbers_are_refused(n: int, e: int):
    """Sizes outside 2048 to 8192 bits, even moduli, and exponents that are even, 1 or giant."""
    assert rsa_weakness(n, e)
    with pytest.raises(KeyFormatError):
        import_jwk({"kty": "RSA", "n": number(n), "e": number(e)})


@pytest.mark.parametrize("e", [3, 17, 65537, 2**32 - 1])
def test_b15_usual_exponents_are_fine(e: int):
    """Every odd exponent from 3 to 2^32 may be used."""
    assert rsa_weakness(RSA_N, e) == ""
    assert import_jwk({"kty": "RSA", "n": number(RSA_N), "e": number(e)})[0].bits == 2048


@pytest.mark.parametrize("bits", [1024, 1536])
def test_b15_small_rsa_is_refused_as_pem_too(bits: int):
    """The rules do not depend on the way a key comes in."""
    key = rsa.generate_private_key(65537, bits)
    with pytest.raises(KeyFormatError, match="bits"):
        import_pem(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


def test_b15_roca_moduli_are_refused():
    """A product of two numbers of the broken form bears the mark, a usual modulus does not."""
    primorial = 1
    for p in (n for n in range(2, 168) if all(n % d for d in range(2, n))):
        primorial *= p
    source = random.Random(1)
    halves = [
        primorial * (source.getrandbits(804) | 1 << 804) + pow(65537, source.getrandbits(60), primorial)
        for _ in range(2)
    ]
    n = halves[0] * halves[1]
    assert 2048 <= n.bit_length() <= 2050
    assert has_roca_fingerprint(n)
    assert not has_roca_fingerprint(RSA_N)
    assert not has_roca_fingerprint(n + 2)
    assert "ROCA" in rsa_weakness(n, 65537)


@pytest.mark.parametrize("curve", [ec.SECP224R1(), ec.SECP192R1(), ec.BrainpoolP256R1()])
def test_a11_other_curves_are_refused(curve: ec.EllipticCurve):
    """P-256, P-384, P-521 and, when asked for, secp256k1 are the curves there are."""
    key = ec.generate_private_key(curve).public_key()
    with pytest.raises(KeyFormatError, match="curve"):
        public_key(key)
    with pytest.raises(KeyFormatError, match="curve"):
        import_jwk({"kty": "EC", "crv": curve.name, "x": b64(bytes(32)), "y": b64(bytes(32))})


@pytest.mark.parametrize("crv", ["P-256", "P-384", "P-521", "secp256k1", "X25519", "", 5, None])
def test_a11_points_off_the_curve_are_refused(crv: Any):
    """Coordinates must be of exact length and on the named curve."""
    good = jwk_of(private_key("ES256"))
    if crv != "P-256":
        with pytest.raises(KeyFormatError):
            import_jwk({**good, "crv": crv})
        return
    for x, y in (
        (good["x"], good["x"]),
        (good["x"][:-1], good["y"]),
        (good["x"] + "AA", good["y"]),
        (b64(bytes(32)), b64(bytes(32))),
    ):
        with pytest.raises(KeyFormatError):
            import_jwk({**good, "x": x, "y": y})


@pytest.mark.parametrize("kid", [None, "k1"])
def test_es256k_is_for_those_who_ask(kid: str | None):
    """A secp256k1 key checks nothing by itself: its `alg` must name ES256K, or the configuration must list it."""
    named = jwk_of(private_key("ES256K")) | ({} if kid is None else {"kid": kid})
    silent = {name: value for name, value in named.items() if name != "alg"}
    for build in (lambda: import_jwk(silent), lambda: import_pem(public_pem("ES256K"))):
        with pytest.raises(KeyFormatError, match="unless you add ES256K to algorithms"):
            build()
    keys = [
        import_jwk(named)[0],
        import_jwk(silent, allowed=["ES256", "ES256K"])[0],
        import_jwk(named, allowed=["ES256K"])[0],
    ]
    assert all(key.algorithms == {"ES256K"} and key.same_as(keys[0]) for key in keys)
    for jwk, allowed in ((silent, ["ES256"]), (named, ["ES256"]), ({**silent, "alg": "ES256"}, None)):
        with pytest.raises(KeyFormatError):
            import_jwk(jwk, allowed=allowed)


def test_a11_a_secp256k1_point_is_on_its_curve_and_on_no_other():
    """Coordinates off the curve, of a wrong length, or of P-256 under the other name are refused, as is the reverse."""
    good, other = jwk_of(private_key("ES256K")), jwk_of(private_key("ES256"))
    bad = [
        {**good, "x": good["y"], "y": good["x"]},
        {**good, "y": b64(bytes(32))},
        {**good, "x": b64(bytes(31))},
        {**good, "y": good["y"] + "AA"},
        {**other, "crv": "secp256k1", "alg": "ES256K"},
        {**good, "crv": "P-256", "alg": "ES256"},
    ]
    for jwk in bad:
        with pytest.raises(KeyFormatError):
            import_jwk(jwk, allowed=["ES256", "ES256K"])


def test_d12_both_halves_of_s_are_the_same_signature_to_es256k():
    """RFC 8812 asks for no low s, and neither do we: a token has two spellings, as under ES256, and its identity is its jti."""
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    check = import_jwk(jwk_of(private_key("ES256K")))[0].check_for("ES256K")
    assert check is not None and check.signature_size == 64
    signature = sign("ES256K", b"text")
    twin = signature[:32] + (order - int.from_bytes(signature[32:], "big")).to_bytes(32, "big")
    assert check.verify(signature, b"text") and check.verify(twin, b"text")
    assert not check.verify(twin, b"test")


SMALL_25519 = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]


@pytest.mark.parametrize("encoded", SMALL_25519)
def test_a11_small_order_ed25519_points_are_refused(encoded: str):
    """The eight points that verify signatures nobody made."""
    with pytest.raises(KeyFormatError, match="small order"):
        import_jwk({"kty": "OKP", "crv": "Ed25519", "x": b64(bytes.fromhex(encoded))})


def test_a11_a_small_order_key_would_verify_a_forgery():
    """Why they are refused: under the neutral element, one fixed signature is good for every text."""
    neutral = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(SMALL_25519[0]))
    neutral.verify(bytes.fromhex(SMALL_25519[0]) + bytes(32), b"any text at all")


def test_a11_edwards_points_of_real_keys_are_fine_and_other_bytes_are_none():
    """Generated keys pass; about half of all byte strings are no point, and neither are unreduced coordinates."""
    for _ in range(20):
        assert edwards_weakness("Ed25519", ed25519.Ed25519PrivateKey.generate().public_key().public_bytes_raw()) == ""
        assert edwards_weakness("Ed448", ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw()) == ""
    for y in (0, 1, 2**448 - 2**224 - 2):
        assert "small order" in edwards_weakness("Ed448", y.to_bytes(57, "little"))
    assert "not a point" in edwards_weakness("Ed25519", (2**255 - 18).to_bytes(32, "little"))
    found = [edwards_weakness("Ed25519", random.Random(seed).randbytes(32)) for seed in range(100)]
    assert 30 < sum("not a point" in text for text in found) < 70


@pytest.mark.parametrize(
    ("members", "fine"),
    [
        ({"use": "sig"}, True),
        ({"use": "enc"}, False),
        ({"use": "SIG"}, False),
        ({"use": 5}, False),
        ({"use": None}, True),
        ({"key_ops": ["verify"]}, True),
        ({"key_ops": ["sign", "verify"]}, True),
        ({"key_ops": ["sign"]}, False),
        ({"key_ops": []}, False),
        ({"key_ops": "verify"}, False),
        ({"key_ops": None}, True),
        (
            {
                "alg": "RS256",
                "use": "sig",
                "key_ops": ["verify"],
                "x5c": ["AA"],
                "x5u": "file:///etc/passwd",
                "other": {},
            },
            True,
        ),
    ],
)
def test_b16_use_key_ops_and_alg_are_honoured(members: dict[str, Any], fine: bool):
    """RFC 7517 sections 4.2 to 4.4: null is no member at all, while an empty list of operations has no "verify" in it."""
    if fine:
        assert import_jwk(jwk_of(rsa_key(), **members))[0].bits == 2048
    else:
        with pytest.raises(KeyFormatError):
            import_jwk(jwk_of(rsa_key(), **members))


def test_b13_private_members_are_dropped_with_a_warning():
    """A private JWK is used as its public half; a wrong private part changes nothing (B14)."""
    plain, _ = import_jwk(jwk_of(rsa_key()))
    for members in (
        {"d": "AAAA"},
        {"d": 5, "p": None},
        {"d": "x", "p": "x", "q": "x", "dp": "x", "dq": "x", "qi": "x", "oth": []},
    ):
        key, warnings = import_jwk(jwk_of(rsa_key(), **members))
        assert key.same_as(plain)
        assert len(warnings) == 1
    okp, warnings = import_jwk(jwk_of(private_key("EdDSA"), d=b64(private_key("Ed448").private_bytes_raw()[:32])))
    assert okp.same_as(import_jwk(jwk_of(private_key("EdDSA")))[0])
    assert warnings


def test_secrets_are_long_enough_and_secret():
    """Length limits, asymmetric names and public texts."""
    assert secret_key(bytes(32), allowed=["HS256"]).algorithms == {"HS256"}
    assert secret_key(bytes(64), allowed=["HS256", "HS512"]).algorithms == {"HS256", "HS512"}
    for secret, allowed in (
        (b"", ["HS256"]),
        (bytes(31), ["HS256"]),
        (bytes(32), ["HS256", "HS384"]),
        (bytes(8193), ["HS256"]),
        (bytes(64), ["RS256"]),
        (bytes(64), ["none"]),
        (bytes(64), []),
        (public_pem("RS256"), ["HS256"]),
        (b"prefix " + public_pem("RS256"), ["HS256"]),
        (certificate().public_bytes(Encoding.PEM), ["HS256"]),
        (certificate().public_bytes(Encoding.DER), ["HS256"]),
    ):
        with pytest.raises(KeyFormatError):
            secret_key(secret, allowed=allowed)


def test_errors_are_of_one_family():
    """KeyFormatError is an LbjwtError and a ValueError."""
    assert issubclass(KeyFormatError, LbjwtError)
    assert issubclass(KeyFormatError, ValueError)
