"""The gate: credentials, hints, cache and order of judgement."""

import inspect
import os
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt._fastverify import DenyReason, Gate, SignatureCheck, Verification
from lbjwt._grants import Grant, GrantCache
from lbjwt.auth._claims import PolicyRules
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.keyring import KeyRing
from lbjwt.process.supervisor import hash_is_randomised
from tests.unit.auth_tokens import NOW, b64, claims, judged, jwk_of, private_key, reason, token, verifier


def gate_of(resolve: Any, **options: Any) -> Gate:
    """A gate around a resolver of the test's own."""
    policy = IssuerPolicy(issuer=None, audiences=None)
    return Gate(cache=GrantCache(), verifications=[Verification(resolve=resolve, rules=PolicyRules(policy), **options)])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Bearer TOKEN", "NONE"),
        (b"bearer TOKEN", "NONE"),
        (b"BEARER TOKEN", "NONE"),
        (b"bEaReR   TOKEN", "NONE"),
        (None, "MISSING"),
        (b"", "MISSING"),
        (b"Basic dXNlcjpwYXNz", "MISSING"),
        (b"Bear", "MISSING"),
        (b"BearerTOKEN", "MISSING"),
        (b"Bearer-x TOKEN", "MISSING"),
        (b"Basic x, Bearer TOKEN", "MISSING"),
        (b"DPoP TOKEN", "MISSING"),
        (b"Bearer", "MALFORMED_CREDENTIALS"),
        (b"Bearer ", "MALFORMED_CREDENTIALS"),
        (b"Bearer    ", "MALFORMED_CREDENTIALS"),
        (b"Bearer\tTOKEN", "MALFORMED_CREDENTIALS"),
        (b"Bearer \tTOKEN", "MALFORMED_CREDENTIALS"),
        (b"Bearer TOKEN ", "MALFORMED_CREDENTIALS"),
        (b"Bearer TOKEN x", "MALFORMED_CREDENTIALS"),
        (b"Bearer TOKEN,", "MALFORMED_CREDENTIALS"),
        (b"Bearer TOKEN, Bearer TOKEN", "MALFORMED_CREDENTIALS"),
        (b'Bearer "TOKEN"', "MALFORMED_CREDENTIALS"),
        (b"Bearer=TOKEN", "MALFORMED_CREDENTIALS"),
        (b"Bearer,TOKEN", "MALFORMED_CREDENTIALS"),
        (b"Bearer TOK=EN", "MALFORMED_CREDENTIALS"),
        (b"Bearer TOKEN\x00", "MALFORMED_CREDENTIALS"),
        (b"Bearer TOKEN\xc3\xa9", "MALFORMED_CREDENTIALS"),
        (b'Bearer {"payload":"x"}', "MALFORMED_CREDENTIALS"),
        (b"Bearer TOKEN=", "BAD_SIGNATURE"),
        (b"Bearer x~y+z/", "MALFORMED"),
    ],
)
def test_p7_bearer_grammar(value: bytes | None, expected: str):
    """Scheme in any case, one or more spaces, one b64token and nothing else (RFC 6750 section 2.1)."""
    good = token()
    value = None if value is None else value.replace(b"TOKEN", good)
    assert judged(verifier().authorize(value, NOW)) == expected


@given(st.binary(max_size=30), st.booleans())
def test_p7_no_byte_string_raises(value: bytes, scheme: bool):
    """Whatever stands in the field, there is a verdict, and never a good one."""
    assert judged(SHARED.authorize(b"Bearer " * scheme + value, NOW)) in (
        "MISSING",
        "MALFORMED_CREDENTIALS",
        "MALFORMED",
    )


SHARED = verifier()


def test_every_prefix_of_a_good_field_is_refused():
    """A field cut anywhere, or with one byte left over, passes nowhere."""
    field = b"Bearer " + token()
    one = verifier()
    assert one.authorize(field, NOW)
    for size in range(len(field)):
        assert not one.authorize(field[:size], NOW)
    for extra in b" .,=A\x00":
        assert not one.authorize(field + bytes((extra,)), NOW)


def test_a22_length_is_checked_first_and_exactly():
    """8192 bytes are a token, 8193 and a million are MALFORMED, whatever they hold."""
    gate = verifier().gate
    filler = "x" * (8192 - 200)
    good = token(claims(pad=filler[: (8192 - len(token(claims(pad=""))) - 12) * 3 // 4]))
    assert 8100 < len(good) <= 8192
    assert gate.verify(good, NOW)[0] is not None
    assert gate.verify(b"x" * 8193, NOW)[1].name == "MALFORMED"
    assert gate.verify(b"\x00" * 8193, NOW)[1].name == "MALFORMED"
    assert gate.verify(b"x" * 1_000_000, NOW)[1].name == "MALFORMED"
    assert gate.cache.misses == 1, "nothing over the limit was even looked up"


def test_a22_the_header_has_a_limit_of_its_own():
    """As long as the whole token may be, or as max_token_header says: so many characters pass, one more does not."""
    chain = [b64(bytes(1000))] * 4  # some 5.4 KiB, as two or three certificates with RSA keys have
    text = token(header={"alg": "HS256", "x5c": chain})
    size = len(text.split(b".")[0])
    assert size > 5000 and reason(text) == "NONE", "the default leaves it to max_token"
    assert reason(text, max_token_header=size) == "NONE"
    assert reason(text, max_token_header=size - 1) == "MALFORMED"
    assert reason(text, max_token=16384, max_token_header=size - 1) == "MALFORMED"
    issuers = [TrustedIssuer(policy=IssuerPolicy(issuer=i, audiences=None, max_token_header=size - 1)) for i in "ab"]
    several = Verifier.for_issuers(issuers)
    assert several.gate.max_header == size - 1
    assert judged(several.verify(text, NOW)) == "MALFORMED", "also where the payload is read first, for its issuer"


def test_a_hint_is_used_and_counted():
    """The grant of the last request is returned as it is, and counts as a hit."""
    gate = verifier().gate
    field = token()
    grant, _ = gate.verify(field, NOW)
    again, why = gate.verify(bytes(bytearray(field)), NOW, grant)
    assert again is grant
    assert why is DenyReason.NONE
    assert (gate.cache.hits, gate.cache.misses) == (1, 1)


def test_a_hint_is_no_passport():
    """A hint of another token, gate, time, or one that left its cache decides nothing."""
    one, two = verifier(), verifier()
    field = token()
    grant, _ = one.gate.verify(field, NOW)
    assert grant is not None
    assert one.gate.verify(token(claims(sub="other"), key=b"k" * 32), NOW, grant)[1].name == "BAD_SIGNATURE"
    assert one.gate.verify(field[:-1] + b"!", NOW, grant)[1].name == "MALFORMED_CREDENTIALS"
    theirs, _ = two.gate.verify(field, NOW, grant)
    assert theirs is not None
    assert theirs is not grant
    assert theirs.epoch != grant.epoch
    assert one.gate.verify(field, grant.valid_until, grant)[1].name == "EXPIRED"
    assert len(one.gate.cache) == 0, "an expired entry is dropped on sight"
    forged = Grant(b"x.y.z", epoch=one.gate.epoch)
    assert one.gate.verify(b"x.y.z", NOW, forged)[1].name == "MALFORMED"


def test_a_hint_dies_with_its_cache_entry():
    """The connection that still holds it has to verify again."""
    gate, field = verifier().gate, token()
    grant, _ = gate.verify(field, NOW)
    gate.cache.clear()
    again, _ = gate.verify(field, NOW, grant)
    assert again is not None
    assert again is not grant


def test_c6_every_hit_looks_at_the_clock_both_ways():
    """A clock that jumps back before nbf refuses a cached token, and one that comes back accepts it again."""
    one = verifier(clock_skew=0)
    text = token(claims(nbf=int(NOW), iat=None))
    assert judged(one.verify(text, NOW)) == "NONE"
    assert judged(one.verify(text, NOW - 1)) == "NOT_YET_VALID"
    assert judged(one.verify(text, NOW + 600)) == "EXPIRED"
    assert judged(one.verify(text, NOW + 1)) == "NONE"


def test_d3_a_cached_token_ends_exactly_with_its_time():
    """The last accepted moment of a hit is the last accepted moment of a verification."""
    one = verifier(clock_skew=5)
    text = token(claims(exp=int(NOW) + 2))
    assert judged(one.verify(text, NOW)) == "NONE"
    assert judged(one.verify(text, NOW + 6.999)) == "NONE"
    assert judged(one.verify(text, NOW + 7.0)) == "EXPIRED"
    assert one.gate.cache.hits == 1


def test_d1_claims_are_those_of_the_token_presented():
    """A thousand tokens that differ in one claim give their own claims, cached or not."""
    one = verifier()
    texts = [token(claims(sub=f"user-{number}")) for number in range(1000)]
    for _ in range(2):
        for number, text in enumerate(texts):
            verdict = one.verify(bytes(bytearray(text)), NOW)
            assert verdict.claims is not None
            assert verdict.claims["sub"] == f"user-{number}"
    assert one.gate.cache.hits == 1000


def test_d5_refused_tokens_never_enter_the_cache():
    """Garbage and forgeries leave the cache as it was."""
    one = verifier()
    good = token()
    one.verify(good, NOW)
    used = one.gate.cache.bytes_used
    for number in range(500):
        one.verify(good[:-3] + b"%03d" % number, NOW)
        one.authorize(b"Bearer %d" % number, NOW)
        one.verify(token(claims(exp=int(NOW) - 100 - number)), NOW)
    assert len(one.gate.cache) == 1
    assert one.gate.cache.bytes_used == used
    assert judged(one.verify(good, NOW)) == "NONE"


def test_d9_what_a_caller_does_to_claims_stays_with_the_caller():
    """Claims cannot be set, and a changed nested value is not seen by the next reader."""
    one = verifier()
    text = token(claims(groups=["a"], nested={"x": [1]}))
    first = one.verify(text, NOW).claims
    assert first is not None
    with pytest.raises(TypeError):
        first["sub"] = "admin"
    first["groups"].append("admin")
    first["nested"]["x"].append(2)
    second = one.verify(text, NOW).claims
    assert second is not None
    assert second["groups"] == ["a"]
    assert second["nested"] == {"x": [1]}
    with pytest.raises(AttributeError):
        one.verify(text, NOW).grant.valid_until = 0.0


def test_d8_a_known_hash_key_is_noticed():
    """hash_is_randomised is False for any fixed PYTHONHASHSEED and True without one."""
    # The function alone: the module around it takes half a second to import.
    code = f"import os, sys\n{inspect.getsource(hash_is_randomised)}\nprint(hash_is_randomised())"
    for seed, expected in (("0", "False"), ("1234", "False"), ("random", "True"), (None, "True")):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONHASHSEED"}
        environment |= {} if seed is None else {"PYTHONHASHSEED": seed}
        out = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert out.stdout.strip() == expected, seed


@pytest.mark.parametrize(
    "fault", [ValueError("x"), TypeError(), RecursionError(), MemoryError(), KeyError(1), BaseException("panic")]
)
def test_a30_any_fault_of_ours_is_a_refusal(fault: BaseException):
    """Whatever a library raises, wherever it raises it, the answer is INTERNAL, counted, never an exception, never a pass."""

    def explode(*_: object) -> Any:
        raise fault

    check = SignatureCheck(key=None, key_id="", algorithm="HS256", signature_size=32, verify=explode)
    good = SignatureCheck(key=None, key_id="", algorithm="HS256", signature_size=32, verify=lambda *_: None)
    text = token()
    for gate in (
        gate_of(explode),
        gate_of(lambda _: check),
        gate_of(lambda _: good, identity=explode),
        gate_of(lambda _: object()),
    ):
        for _ in range(2):
            assert gate.verify(text, NOW) == (None, DenyReason.INTERNAL)
            assert gate.verify(text, NOW) == (None, DenyReason.INTERNAL)
        assert gate.faults == 4
        assert gate.last_fault
        assert len(gate.cache) == 0
    assert gate_of(lambda _: good).verify(text, NOW)[0] is not None, "the gates above failed for the fault alone"


def test_known_headers_are_bounded_and_only_of_good_signatures():
    """Header texts are remembered only after a good signature, and a holder of good tokens cannot make them pile up."""
    asked: list[dict[str, Any]] = []
    check = KeyRing.from_secret(bytes(range(64)), algorithms=["HS256"]).find(None, "HS256")

    def resolve(header: dict[str, Any]) -> Any:
        asked.append(header)
        return check

    gate = gate_of(resolve)
    gate.verify(token(key=b"z" * 32), NOW)
    gate.verify(token(key=b"z" * 32), NOW)
    assert len(asked) == 2
    for number in range(600):
        assert gate.verify(token(header={"alg": "HS256", "n": number}), NOW)[0] is not None
    assert len(asked) == 602
    gate.verify(token(claims(sub="again"), header={"alg": "HS256", "n": 599}), NOW)
    assert len(asked) == 602


def test_keys_replaced_during_a_verification_count_at_once():
    """A verdict under keys that were replaced while it was made is not used."""
    old = KeyRing.from_jwks({"keys": [jwk_of(private_key("EdDSA"), kid="k1")]})
    found = old.find("k1", "EdDSA")
    gate: Gate

    def resolve(_: dict[str, Any]) -> Any:
        gate.replace(Verification(resolve=None, rules=PolicyRules(IssuerPolicy(issuer=None, audiences=None))))
        return found

    gate = gate_of(resolve)
    assert gate.verify(token(algorithm="EdDSA"), NOW) == (None, DenyReason.KEYS_UNAVAILABLE)
    assert len(gate.cache) == 0


def test_no_secret_in_any_repr():
    """Neither tokens nor keys can be read off the objects a log might print."""
    one = verifier()
    text = token()
    verdict = one.verify(text, NOW)
    shown = " ".join(repr(thing) for thing in (verdict, verdict.grant, one, one.gate, one.keys, list(one.keys or ())))
    assert text.decode().split(".")[2] not in shown
    assert text.decode().split(".")[1] not in shown
    assert "\\x01\\x02" not in shown
    assert "user-1" not in shown


def test_s9_cheap_checks_come_before_dear_ones():
    """Garbage costs no key look-up, a stranger's header no signature, and a signature of another length no cryptography (THREATS S9)."""
    asked: list[str] = []
    check = KeyRing.from_jwks({"keys": [jwk_of(private_key("ES256"), kid="k")]}).find("k", "ES256")
    assert isinstance(check, SignatureCheck)

    def verify(*arguments: object) -> None:
        asked.append("signature")

    counted = SignatureCheck(
        check.key, key_id="k", algorithm="ES256", signature_size=check.signature_size, verify=verify, raw_ecdsa=True
    )

    def resolve(header: dict[str, Any]) -> SignatureCheck | DenyReason:
        asked.append("key")
        return counted if header.get("kid") == "k" else DenyReason.UNKNOWN_KEY

    gate = gate_of(resolve)
    good = token(algorithm="ES256", key=private_key("ES256"), kid="k")
    header, payload, signature = good.split(b".")
    for garbage in (b"x" * 9000, b"a b", b"a.b", b"a.b.c.d", b"a..b", b"!!.b.c", b"x" * 3000 + b".b.c", b"bm8.b.c"):
        assert gate.verify(garbage, NOW)[0] is None and asked == []
    assert (
        gate.verify(b".".join((token(kid="other").split(b".")[0], payload, signature)), NOW)[1]
        is DenyReason.UNKNOWN_KEY
    )
    assert asked == ["key"]
    assert gate.verify(b".".join((header, payload, signature + b"AA")), NOW)[1] is DenyReason.BAD_SIGNATURE
    assert asked == ["key", "key"]
    assert gate.verify(good, NOW)[0] is not None and asked == ["key", "key", "key", "signature"]
    assert gate.verify(good, NOW)[0] is not None and len(asked) == 4
