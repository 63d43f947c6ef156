"""Several issuers at one gate: whose key may judge what, and what becomes of remembered tokens when keys or tokens are withdrawn."""

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from lbjwt._fastverify import DenyReason
from lbjwt._grants import Grant, GrantCache
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError
from lbjwt.jose.keyring import KeyRing
from tests.harness.keys import b64
from tests.unit.auth_tokens import NOW, claims, judged
from tests.unit.several_issuers import KEYS, LABELS, Bench, issuer, ring, token


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- whose key --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mine", "other"), list(itertools.permutations(LABELS, 2)))
def test_b17_a_key_of_one_issuer_never_verifies_another(bench: Bench, mine: str, other: str) -> None:
    """A token that names one issuer and is signed under the same key id by another is forged, cold and when both are hot (THREATS B17)."""
    forged = token(mine, key=KEYS[other]["k1"])
    for _ in range(2):
        assert bench.judge(forged) == "BAD_SIGNATURE"
        assert bench.judge(token(mine)) == bench.judge(token(other)) == "NONE"
    assert bench.cached == 2


@pytest.mark.parametrize(("mine", "other"), list(itertools.permutations(LABELS, 2)))
def test_b17_a_key_that_only_another_issuer_has_is_unknown(bench: Bench, mine: str, other: str) -> None:
    """A key id is looked for among the keys of the one issuer that the token names (THREATS B17)."""
    bench.verifier.publish(ring(other, "k1", "k2"), LABELS.index(other))
    assert bench.judge(token(mine, key=KEYS[other]["k2"])) == "UNKNOWN_KEY"
    assert bench.judge(token(other, "k2")) == "NONE"


def test_b17_a_token_without_key_id_is_judged_by_its_own_issuer(bench: Bench) -> None:
    """Nothing but `iss` chooses (THREATS B17)."""
    for mine, other in itertools.permutations(LABELS, 2):
        text = KEYS[other]["k1"].token(claims(iss=issuer(mine)), kid=None)
        assert bench.judge(text) == ("BAD_SIGNATURE" if mine != other else "NONE")
        assert bench.judge(KEYS[mine]["k1"].token(claims(iss=issuer(mine)), kid=None)) == "NONE"


def test_each_grant_says_whose_it_is(bench: Bench) -> None:
    """Index, name, key and the header lines are those of the token's own issuer, fresh and remembered."""
    for _ in range(2):
        for index, label in enumerate(LABELS):
            grant = bench.verifier.verify(token(label), NOW).grant
            assert grant is not None
            assert (grant.issuer_index, grant.issuer, grant.key_id) == (index, issuer(label), "k1")
            assert grant.identity_headers == f"X-{label.upper()}: user-of-{label}\r\n".encode()
    assert bench.verifier.gate.cache.hits == 3


def test_each_issuer_has_its_own_rules() -> None:
    """Audience, leeway, type and scopes of one are nothing to another."""
    bench = Bench(
        a={"audiences": ("one",)},
        b={"clock_skew": 60.0},
        c={"required_scopes": ("s",), "algorithms": ("ES256",)},
    )
    late = int(NOW) - 30
    assert bench.judge(token("a")) == "WRONG_AUDIENCE"
    assert bench.judge(token("a", aud="one")) == "NONE"
    assert bench.judge(token("a", aud="one", exp=late, iat=None)) == "EXPIRED"
    assert bench.judge(token("b", exp=late, iat=None)) == "NONE"
    assert bench.judge(token("c", scope="s")) == "ALGORITHM_REFUSED"


@pytest.mark.parametrize(
    ("iss", "reason"),
    [
        ("https://a.example/", "WRONG_ISSUER"),
        ("https://a.exampl", "WRONG_ISSUER"),
        ("HTTPS://A.EXAMPLE", "WRONG_ISSUER"),
        (" https://a.example", "WRONG_ISSUER"),
        ("https://d.example", "WRONG_ISSUER"),
        ("", "WRONG_ISSUER"),
        (1, "INVALID_CLAIM"),
        (True, "INVALID_CLAIM"),
        (["https://a.example"], "INVALID_CLAIM"),
        ({"https://a.example": 1}, "INVALID_CLAIM"),
        (..., "MISSING_CLAIM"),
    ],
)
def test_c7_whoever_does_not_name_an_issuer_exactly_has_none(bench: Bench, iss: Any, reason: str) -> None:
    """Unknown, missing or of another type: refused before any key is looked at, and nobody's revocations are asked for (THREATS C7)."""
    payload = claims() | ({} if iss is ... else {"iss": iss})
    if iss is ...:
        del payload["iss"]
    for label in LABELS:
        assert bench.judge(KEYS[label]["k1"].token(payload)) == reason
    assert bench.asked == [] and bench.cached == 0


def test_a_null_issuer_is_of_the_wrong_type(bench: Bench) -> None:
    """`"iss": null` is no missing claim, and is refused like every other thing that is no text."""
    payload = claims()
    payload["iss"] = None
    assert bench.judge(KEYS["a"]["k1"].token(payload)) == "INVALID_CLAIM"


def test_what_cannot_be_read_has_no_issuer() -> None:
    """A payload that is no JSON object, holds a name twice, or a header over its limit: MALFORMED, before anybody's key is tried (THREATS A19)."""
    short: dict[str, Any] = {"max_token_header": 1000}
    bench = Bench(a=short, b=short, c=short)
    key = KEYS["a"]["k1"]
    head = b'{"alg":"EdDSA","kid":"k1"}'
    name = issuer("a").encode()
    for header, payload in (
        (head, b'["iss"]'),
        (head, b'{"iss":"%b","iss":"%b"}' % (name, name)),
        (head, b"\xff{}"),
        (head[:-1] + b',"p":"' + b"x" * 1000 + b'"}', b'{"iss":"%b"}' % name),
    ):
        assert bench.judge(key.sealed(header, payload)) == "MALFORMED"
    assert bench.judge("a.b.c") == bench.judge("a.b") == bench.judge("a.b.c.d") == "MALFORMED"


def test_an_issuer_without_keys_is_unavailable_and_the_others_are_not(bench: Bench) -> None:
    """503 for the tokens of one, none for the rest, and none for tokens that are nobody's."""
    bench.verifier.publish(None, 1)
    assert [bench.judge(token(label)) for label in LABELS] == ["NONE", "KEYS_UNAVAILABLE", "NONE"]
    assert bench.judge(token("b", iss="https://d.example")) == "WRONG_ISSUER"
    assert bench.verifier.keys_of(1) is None and bench.verifier.keys_of(2) is not None


def test_tenants_of_a_pattern_come_after_exact_names() -> None:
    """An exact issuer that a pattern would take, too, is its own; a tenant of a list is one of the list or nobody."""
    verifier = Verifier.for_issuers(
        [
            TrustedIssuer(
                policy=IssuerPolicy(
                    issuer=IssuerPattern(template="https://{tenant}.example", tenant_class="alphanumeric"),
                    audiences=None,
                )
            ),
            TrustedIssuer(policy=IssuerPolicy(issuer=issuer("b"), audiences=None)),
        ]
    )
    verifier.publish(ring("a", "k1"), 0)
    verifier.publish(ring("b", "k1"), 1)
    assert judged(verifier.verify(token("a"), NOW)) == judged(verifier.verify(token("b"), NOW)) == "NONE"
    assert judged(verifier.verify(token("c", key=KEYS["a"]["k1"]), NOW)) == "NONE"
    assert judged(verifier.verify(token("b", key=KEYS["a"]["k1"]), NOW)) == "BAD_SIGNATURE"
    assert judged(verifier.verify(token("a", iss="https://a.b.example"), NOW)) == "WRONG_ISSUER"


def test_issuers_that_cannot_be_told_apart_are_a_mistake() -> None:
    """None at all, two of one name, and any issuer beside others."""
    named = TrustedIssuer(policy=IssuerPolicy(issuer="x", audiences=None))
    anybody = TrustedIssuer(policy=IssuerPolicy(issuer=None, audiences=None))
    for issuers in ([], [named, named], [named, anybody], [anybody, anybody]):
        with pytest.raises(ConfigurationError):
            Verifier.for_issuers(issuers)
    assert Verifier.for_issuers([anybody]).policy.issuer is None


# --- padding ----------------------------------------------------------------------------------------------------------


def spelled(label: str, *, header: str = "", payload: str = "", signature: str = "") -> str:
    """A token of the issuer with padding where it is asked for; that of header and payload is signed."""
    parts = [b'{"alg":"EdDSA","kid":"k1"}', b'{"iss":"%b","aud":"api","exp":%d}' % (issuer(label).encode(), NOW + 60)]
    pads = (header, payload)
    texts = []
    for part, pad in zip(parts, pads, strict=True):
        while pad and len(b64(part)) % 4 != 4 - len(pad):
            part = part.replace(b"{", b"{ ", 1)
        texts.append(b64(part) + pad)
    signed = ".".join(texts)
    return f"{signed}.{b64(KEYS[label]['k1'].sign(signed.encode()))}{signature}"


@pytest.mark.parametrize("where", ["header", "payload", "signature"])
def test_a18_who_may_pad_is_one_issuer_and_not_its_neighbour(where: str) -> None:
    """The opt-in of a lets no padded token of b through, cold, and when the unpadded one or the same spelling of a is remembered (THREATS A18)."""
    bench = Bench(a={"allow_padding": True})
    pad = {where: "=="}
    for _ in range(2):
        assert bench.judge(spelled("a", **pad)) == "NONE"
        assert bench.judge(spelled("a")) == bench.judge(spelled("b")) == "NONE"
        for wrong in {"=", "==", "==="} if where == "signature" else {"=="}:
            assert bench.judge(spelled("b", **{where: wrong})) in ("MALFORMED", "BAD_SIGNATURE")
        assert bench.judge(spelled("b") + "=") in ("MALFORMED", "BAD_SIGNATURE")
    strict = Bench()
    assert strict.judge(spelled("a")) == "NONE"
    assert strict.judge(spelled("a", **pad)) in ("MALFORMED", "BAD_SIGNATURE")


def test_a18_both_spellings_of_a_signature_are_one_remembered_token() -> None:
    """Its padding is not signed, so it makes no second entry that would outlive or crowd the first (THREATS A18)."""
    bench = Bench(a={"allow_padding": True})
    assert bench.judge(spelled("a", signature="==")) == bench.judge(spelled("a")) == "NONE"
    assert bench.cached == 1 and bench.verifier.gate.cache.hits == 1


# --- what was remembered ----------------------------------------------------------------------------------------------


def test_b18_a_withdrawn_key_kills_what_it_signed_and_nothing_else(bench: Bench) -> None:
    """At the next look, in the cache and in the hand of a connection; tokens of other keys and issuers are not verified again (THREATS B18, D4)."""
    verifier = bench.verifier
    verifier.publish(ring("a", "k1", "k2"), 0)
    texts = {name: token(*name) for name in (("a", "k1"), ("a", "k2"), ("b", "k1"), ("c", "k1"))}
    held = {name: verifier.verify(text, NOW).grant for name, text in texts.items()}
    verified = len(bench.asked)
    verifier.publish(ring("a", "k2"), 0)
    gate = verifier.gate
    for name, text in texts.items():
        dead = name == ("a", "k1")
        grant, reason = gate.verify(text.encode(), NOW, held[name])
        assert (reason.name, grant is held[name]) == (("UNKNOWN_KEY", False) if dead else ("NONE", True))
        assert bench.judge(text) == reason.name
    assert bench.cached == 3 and (texts["a", "k1"].encode() in gate.cache) is False
    assert len(bench.asked) == verified + 3, "each of the others was looked at once more, and that is all"


def test_a_key_that_comes_back_revives_nothing_by_itself(bench: Bench) -> None:
    """The token is verified anew, by the key that is there then."""
    assert bench.judge(token("a")) == "NONE"
    bench.verifier.publish(ring("a", "k2"), 0)
    bench.verifier.publish(ring("a", "k1"), 0)
    verified = len(bench.asked)
    misses = bench.verifier.gate.cache.misses
    assert bench.judge(token("a")) == "NONE"
    assert bench.verifier.gate.cache.misses == misses + 1 and len(bench.asked) == verified + 1


def test_a_key_of_the_same_id_that_is_another_key_kills_too(bench: Bench) -> None:
    """An id is a name, not a key (THREATS B18)."""
    text = token("a")
    assert bench.judge(text) == "NONE"
    bench.verifier.publish(KeyRing.from_jwks({"keys": [KEYS["b"]["k1"].jwk()]}), 0)
    assert bench.judge(text) == "BAD_SIGNATURE"


def test_the_same_keys_again_change_nothing(bench: Bench) -> None:
    """A refresh that brings what was there, or more, moves no epoch: nobody is looked at again."""
    text = token("a")
    bench.judge(text)
    epoch = bench.verifier.gate.epoch
    for kids in (("k1",), ("k1", "k2")):
        bench.verifier.publish(ring("a", *kids), 0)
    assert bench.verifier.gate.epoch == epoch
    bench.judge(text)
    assert len(bench.asked) == 1
    bench.verifier.publish(ring("a", "k1"), 0)
    assert bench.verifier.gate.epoch != epoch


def test_c20_a_revoked_token_is_dead_at_the_next_look(bench: Bench) -> None:
    """After `renew`, remembered or held by a connection; others are looked at once and live on; before, the hot path asks nobody (THREATS C20)."""
    one, two = token("a", jti="one"), token("a", jti="two")
    held = bench.verifier.verify(one, NOW).grant
    bench.judge(two)
    bench.revoked.add("one")
    assert bench.judge(one) == "NONE", "nobody said that something changed"
    bench.verifier.renew()
    assert bench.verifier.gate.verify(one.encode(), NOW, held)[1] is DenyReason.REVOKED
    assert bench.judge(one) == "REVOKED"
    assert bench.judge(two) == "NONE"
    asked = len(bench.asked)
    assert bench.judge(two) == "NONE" and len(bench.asked) == asked
    assert bench.cached == 1
    bench.revoked.clear()
    assert bench.judge(one) == "NONE", "an entry that ended ends without a word"


def test_c20_revocation_is_asked_with_the_issuer_and_key_of_the_token(bench: Bench) -> None:
    """Index, key id, claims and time, at the verification and at the look after a renewal alike (THREATS C20, B17)."""
    bench.judge(token("b"), NOW)
    bench.verifier.renew()
    bench.judge(token("b"), NOW + 1)
    assert bench.asked == [(1, "k1", "user-of-b", NOW), (1, "k1", "user-of-b", NOW + 1)]


def test_a_revoked_token_is_not_remembered(bench: Bench) -> None:
    """It enters no cache, and its claims decide first: an expired one is expired."""
    bench.revoked.add("one")
    assert bench.judge(token("a", jti="one")) == "REVOKED"
    assert bench.judge(token("a", jti="one", exp=1)) == "EXPIRED"
    assert bench.judge(token("a", jti="one", key=KEYS["b"]["k1"])) == "BAD_SIGNATURE"
    assert bench.cached == 0


def test_a_fault_of_the_revocations_refuses(bench: Bench) -> None:
    """INTERNAL when a token is verified, and a look at a remembered one that fails drops it; every fault is counted, none raised."""

    def broken(*_: object) -> bool:
        raise KeyError("no table")

    faulty = Bench(revoked=broken)
    assert faulty.judge(token("a")) == "INTERNAL"
    assert (faulty.verifier.gate.faults, faulty.verifier.gate.last_fault, faulty.cached) == (1, "KeyError", 0)
    trouble: list[bool] = []

    def moody(index: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        if trouble:
            raise KeyError("no table")
        return False

    bench = Bench(revoked=moody)
    held = bench.verifier.verify(token("a"), NOW).grant
    bench.verifier.renew()
    trouble.append(True)
    assert bench.verifier.gate.verify(token("a").encode(), NOW, held)[1] is DenyReason.INTERNAL
    assert bench.cached == 0 and bench.verifier.gate.faults == 2
    trouble.clear()
    assert bench.judge(token("a")) == "NONE"


def test_a_grant_of_another_gate_is_dead(bench: Bench) -> None:
    """As a hint, also after a renewal, and in a cache that was handed over: a verdict is that of the gate that gave it (THREATS D2)."""
    other = Bench(a={"audiences": ("other",)})
    text = token("a", aud=["api", "other"])
    foreign = other.verifier.verify(text, NOW).grant
    assert foreign is not None
    field = token("a", aud="other").encode()
    theirs = other.verifier.verify(field, NOW).grant
    for _ in range(2):
        grant, reason = bench.verifier.gate.verify(field, NOW, theirs)
        assert grant is None and reason is DenyReason.WRONG_AUDIENCE
        other.verifier.renew()
        bench.verifier.renew()
    assert theirs is not None
    bench.verifier.gate.cache.insert(
        Grant(
            theirs.token,
            epoch=theirs.epoch,
            valid_until=NOW + 60,
            key=theirs.key,
            issuer="a",
            identity_headers=b"X-A: root\r\n",
        )
    )
    assert bench.judge(theirs.token) == "WRONG_AUDIENCE"
    assert theirs.token not in bench.verifier.gate.cache


def test_d2_a_cache_that_was_handed_over_brings_no_verdicts() -> None:
    """A grant of another policy with the very same key, put into the cache of this gate: it is judged anew (THREATS D2)."""
    keys = ring("a", "k1")
    strict, lax = (
        Verifier(keys, IssuerPolicy(issuer=issuer("a"), audiences=audiences, clock_skew=0.0))
        for audiences in (("strict",), None)
    )
    text = token("a", aud="lax")
    grant = lax.verify(text, NOW).grant
    assert grant is not None and grant.key in keys
    lax.gate.cache.clear()
    assert strict.gate.cache.insert(grant) and text.encode() in strict.gate.cache
    assert judged(strict.verify(text, NOW)) == "WRONG_AUDIENCE"
    assert text.encode() not in strict.gate.cache


def test_a_grant_made_elsewhere_is_no_grant(bench: Bench) -> None:
    """One with the epoch of the moment but from no gate, in the cache by whatever way, is believed only as far as that epoch; a renewal ends it."""
    forged = Grant(b"x.y.z", epoch=0, valid_until=NOW + 60, identity_headers=b"X-A: root\r\n")
    bench.verifier.gate.cache.insert(forged)
    assert bench.judge(b"x.y.z") == "MALFORMED"
    assert len(GrantCache()) == 0 and b"x.y.z" not in bench.verifier.gate.cache
