"""`Verifier.reload`: which tokens stay verified when the trusted issuers are replaced, and which are judged anew or refused."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from lbjwt._fastverify import Gate, Verification
from lbjwt._grants import GrantCache
from lbjwt.auth._claims import PolicyRules
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.errors import ConfigurationError
from tests.unit.auth_tokens import NOW, judged
from tests.unit.several_issuers import KEYS, issuer, ring, token

ANY_WORD = IssuerPattern(template="https://{tenant}.example", tenant_class="alphanumeric")


def trusted(
    name: str | IssuerPattern | None, *, headers: tuple[tuple[str, str], ...] = (), **policy: Any
) -> TrustedIssuer:
    """An issuer by label, by pattern, or any."""
    iss = issuer(name) if isinstance(name, str) else name
    return TrustedIssuer(
        policy=IssuerPolicy(**{"issuer": iss, "audiences": ("api",), "clock_skew": 0.0, **policy}),
        identity_headers=headers,
    )


class Scene:
    """A verifier with one key for each issuer, and how often it verified a token or looked at one again."""

    def __init__(self, issuers: Mapping[int, TrustedIssuer], **labels: int) -> None:
        self.revoked: set[str] = set()
        self.looks = 0
        self.meanwhile: list[Callable[[], None]] = []
        self.verifier = Verifier.for_issuers(issuers, revoked=self._ask)
        for label, index in labels.items():
            self.verifier.publish(ring(label, "k1"), index)

    def _ask(self, index: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        self.looks += 1
        found = claims["sub"] in self.revoked
        if self.meanwhile:
            self.meanwhile.pop()()
        return found

    def judge(self, text: str) -> str:
        return judged(self.verifier.verify(text, NOW))

    @property
    def verified(self) -> int:
        """Tokens that no cache knew, or knew no more."""
        return self.verifier.gate.cache.misses


def two() -> Scene:
    """Issuers a and b, each with a token verified."""
    scene = Scene({0: trusted("a"), 1: trusted("b")}, a=0, b=1)
    assert scene.judge(token("a")) == scene.judge(token("b")) == "NONE"
    return scene


# --- unchanged --------------------------------------------------------------------------------------------------------


def test_tokens_of_unchanged_issuers_stay_verified() -> None:
    """Beside a new, a changed and a removed issuer: looked at once, no signature checked again, and a connection's hint is good again at once."""
    scene = two()
    keys = scene.verifier.keys_of(0)
    held = scene.verifier.verify(token("a"), NOW).grant
    verified, looks = scene.verified, scene.looks
    for others in ({1: trusted("b"), 2: trusted("c")}, {1: trusted("b", audiences=("else",))}, {}):
        scene.verifier.reload({0: trusted("a"), **others})
        for _ in range(2):
            grant, _ = scene.verifier.gate.verify(token("a").encode(), NOW, held)
            assert grant is held
    assert (scene.verified, scene.looks) == (verified, looks + 3)
    assert scene.verifier.keys_of(0) is keys


def test_a_reload_looks_for_revocations_again() -> None:
    """A token that was revoked without a word is refused at the look that each reload causes."""
    scene = two()
    scene.revoked.add("user-of-a")
    assert scene.judge(token("a")) == "NONE"
    scene.verifier.reload([trusted("a"), trusted("b")])
    assert (scene.judge(token("a")), scene.judge(token("b"))) == ("REVOKED", "NONE")


def test_tenants_that_a_pattern_knows_count_on() -> None:
    """An unchanged pattern keeps its compiled rules, and with them the tenants that it accepted."""
    pattern = IssuerPattern(template="https://{tenant}.example", tenant_class="alphanumeric", max_tenants=1)
    scene = Scene({0: trusted(pattern)}, a=0)
    assert scene.judge(token("a")) == "NONE"
    scene.verifier.reload([trusted(pattern)])
    assert scene.judge(token("b", key=KEYS["a"]["k1"])) == "WRONG_ISSUER"


# --- changed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"audiences": ("else",)}, "WRONG_AUDIENCE"),
        ({"audiences": ("api", "else")}, "NONE"),
        ({"required_scopes": ("s",)}, "INSUFFICIENT_SCOPE"),
        ({"algorithms": ("ES256",)}, "ALGORITHM_REFUSED"),
        ({"typ": "at+jwt"}, "WRONG_TYPE"),
        ({"subjects": ("somebody",)}, "SUBJECT_REFUSED"),
        ({"clock_skew": 1.0}, "NONE"),
        ({"max_token": 64}, "NONE"),
        ({"headers": (("sub", "X-Sub"),)}, "NONE"),
    ],
    ids=str,
)
def test_every_token_of_a_changed_issuer_is_judged_anew(change: dict[str, Any], reason: str) -> None:
    """At its next request, also as the hint of a connection; those of the other issuer are not. The rules of before judge anew, too."""
    scene = two()
    held = scene.verifier.verify(token("a"), NOW).grant
    for now_in_force, expected in ((trusted("a", **change), reason), (trusted("a"), "NONE")):
        verified = scene.verified
        scene.verifier.reload([now_in_force, trusted("b")])
        grant, found = scene.verifier.gate.verify(token("a").encode(), NOW, held)
        assert found.name == expected and grant is not held
        if grant is not None:
            assert grant.identity_headers == (b"X-Sub: user-of-a\r\n" if now_in_force.identity_headers else b"")
        assert scene.judge(token("b")) == "NONE"
        assert scene.verified == verified + 1


def test_a_removed_issuer_is_nobody() -> None:
    """Its tokens are refused, and it has neither keys nor rules, until it comes back and its keys are published."""
    scene = two()
    scene.verifier.reload({1: trusted("b"), 5: trusted("c")})
    assert scene.judge(token("a")) == "WRONG_ISSUER"
    assert scene.verifier.keys_of(0) is None and scene.verifier.policy.issuer == issuer("b")
    for call in (lambda: scene.verifier.policy_of(0), lambda: scene.verifier.publish(ring("a", "k1"), 0)):
        with pytest.raises(LookupError):
            call()
    scene.verifier.reload({0: trusted("a"), 1: trusted("b")})
    assert scene.judge(token("a")) == "KEYS_UNAVAILABLE"
    scene.verifier.publish(ring("a", "k1"), 0)
    assert scene.judge(token("a")) == "NONE"


def test_indexes_may_have_gaps() -> None:
    """Each issuer is judged under its own index, far from the others, alone or beside them."""
    scene = Scene({7: trusted("a"), 3: trusted("b")}, a=7, b=3)
    for text, index in ((token("a"), 7), (token("b"), 3)):
        grant = scene.verifier.verify(text, NOW).grant
        assert grant is not None and grant.issuer_index == index
    assert scene.verifier.keys_of(5) is None and scene.verifier.keys_of(99) is None
    scene.verifier.reload({7: trusted("a")})
    assert (scene.judge(token("a")), scene.judge(token("b"))) == ("NONE", "BAD_SIGNATURE")


def test_an_index_that_another_issuer_gets_brings_it_nothing() -> None:
    """Neither keys nor verified tokens of the issuer that had it before."""
    scene = two()
    scene.verifier.reload([trusted("c"), trusted("b")])
    assert scene.judge(token("a")) == "WRONG_ISSUER"
    assert scene.judge(token("c", key=KEYS["a"]["k1"])) == "KEYS_UNAVAILABLE"
    assert scene.judge(token("b")) == "NONE"


# --- whose token it is ------------------------------------------------------------------------------------------------


def test_an_exact_name_takes_over_from_a_pattern_and_gives_back() -> None:
    """A verified token whose `iss` means another issuer by now is judged by that one; a tenant of the pattern stays verified."""
    scene = Scene({0: trusted(ANY_WORD)}, a=0)
    other = token("c", key=KEYS["a"]["k1"])
    taken = token("b", key=KEYS["a"]["k1"])
    assert scene.judge(other) == scene.judge(taken) == "NONE"
    verified = scene.verified
    scene.verifier.reload({0: trusted(ANY_WORD), 1: trusted("b")}, keys={1: ring("b", "k1")})
    assert (scene.judge(other), scene.verified) == ("NONE", verified)
    assert scene.judge(taken) == "BAD_SIGNATURE"
    assert scene.judge(token("b")) == "NONE"
    scene.verifier.reload({0: trusted(ANY_WORD)})
    assert (scene.judge(taken), scene.judge(token("b"))) == ("NONE", "BAD_SIGNATURE")


def test_patterns_in_another_order_judge_anew() -> None:
    """Of two that could take a token the first one does, also after a reload that changed nothing but their order."""
    narrow = IssuerPattern(template="https://{tenant}.example", tenants=("a", "b"))
    scene = Scene({0: trusted(ANY_WORD), 1: trusted(narrow)}, a=0, b=1)
    assert (scene.judge(token("a")), scene.judge(token("b"))) == ("NONE", "BAD_SIGNATURE")
    scene.verifier.reload({1: trusted(narrow), 0: trusted(ANY_WORD)})
    assert (scene.judge(token("a")), scene.judge(token("b"))) == ("BAD_SIGNATURE", "NONE")


def test_any_issuer_and_several() -> None:
    """What was accepted for want of a rule is refused under one, and the other way round."""
    stranger = token("c", key=KEYS["a"]["k1"])
    scene = Scene({0: trusted(None)}, a=0)
    assert scene.judge(token("a")) == scene.judge(stranger) == "NONE"
    scene.verifier.reload([trusted("a"), trusted("b")], keys={0: ring("a", "k1")})
    assert (scene.judge(token("a")), scene.judge(stranger)) == ("NONE", "WRONG_ISSUER")
    scene.verifier.reload([trusted(None)], keys={0: ring("a", "k1")})
    assert scene.judge(token("a")) == scene.judge(stranger) == "NONE"


# --- keys -------------------------------------------------------------------------------------------------------------


def sourced(source: str, **policy: Any) -> TrustedIssuer:
    return TrustedIssuer(policy=trusted("a", **policy).policy, key_source=source)


def test_keys_stay_with_their_source() -> None:
    """Other rules keep the keys. Another source has none of them, and another `iss` neither, unless the source is said to be the same."""
    scene = Scene({0: sourced("here")}, a=0)
    keys = scene.verifier.keys_of(0)
    scene.verifier.reload([sourced("here", audiences=("api", "else"))])
    assert scene.verifier.keys_of(0) is keys and scene.judge(token("a")) == "NONE"
    scene.verifier.reload([sourced("here", issuer=issuer("b"))])
    assert scene.judge(token("b", key=KEYS["a"]["k1"])) == "NONE"
    scene.verifier.reload([sourced("there")])
    assert scene.verifier.keys_of(0) is None and scene.judge(token("a")) == "KEYS_UNAVAILABLE"
    unnamed = Scene({0: trusted("a")}, a=0)
    unnamed.verifier.reload([trusted("b")])
    assert unnamed.judge(token("b", key=KEYS["a"]["k1"])) == "KEYS_UNAVAILABLE"


def test_tokens_outlive_a_move_of_their_keys() -> None:
    """The same key in the keys that come with the reload is the same key; one that is not among them takes its tokens along."""
    scene = Scene({0: sourced("here")}, a=0)
    scene.verifier.publish(ring("a", "k1", "k2"), 0)
    one, other = token("a", "k1"), token("a", "k2")
    assert scene.judge(one) == scene.judge(other) == "NONE"
    verified = scene.verified
    scene.verifier.reload([sourced("there")], keys={0: ring("a", "k1")})
    assert (scene.judge(one), scene.verified) == ("NONE", verified)
    assert scene.judge(other) == "UNKNOWN_KEY"
    scene.verifier.reload([sourced("there")], keys={0: None})
    assert scene.judge(one) == "KEYS_UNAVAILABLE"


def test_keys_published_after_a_reload_are_judged_by_its_rules() -> None:
    """A refresh that was under way brings no rule of before back."""
    scene = two()
    scene.verifier.reload([trusted("a", audiences=("else",)), trusted("b")])
    scene.verifier.publish(ring("a", "k1", "k2"), 0)
    assert scene.judge(token("a")) == scene.judge(token("a", "k2")) == "WRONG_AUDIENCE"


# --- limits of the form -----------------------------------------------------------------------------------------------


def test_the_size_of_a_token_follows() -> None:
    """The greatest of any issuer counts: a remembered token that is too long by now is refused before the cache is asked."""
    scene = two()
    scene.verifier.reload([trusted("a", max_token=100), trusted("b", max_token=100)])
    assert scene.verifier.gate.max_token == 100
    assert scene.judge(token("a")) == "MALFORMED"
    scene.verifier.reload([trusted("a"), trusted("b", max_token=65536, max_token_header=9000)])
    assert (scene.verifier.gate.max_token, scene.verifier.gate.max_header) == (65536, 9000)
    assert scene.judge(token("a")) == "NONE"


def test_padding_follows() -> None:
    """A padded spelling passes while its issuer allows it, whichever spelling was remembered."""
    padded = token("b") + "=="
    scene = two()
    for allowed in (False, True, False):
        scene.verifier.reload([trusted("a"), trusted("b", allow_padding=allowed)])
        for _ in range(2):
            assert scene.judge(padded) == ("NONE" if allowed else "BAD_SIGNATURE")
            assert scene.judge(token("b")) == "NONE"


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("issuers", "keys", "error"),
    [
        ({}, {}, ConfigurationError),
        ({0: trusted("a"), 1: trusted("a")}, {}, ConfigurationError),
        ({0: trusted("a"), 1: trusted(None)}, {}, ConfigurationError),
        ({-1: trusted("a")}, {}, ConfigurationError),
        ({0: trusted("c"), 1: trusted("b", headers=(("sub", "X"), ("aud", "X")))}, {}, ConfigurationError),
        ({0: trusted("c")}, {1: None}, LookupError),
    ],
    ids=["none", "twice", "any beside one", "negative", "header twice", "keys of nobody"],
)
def test_a_refused_reload_changes_nothing(
    issuers: dict[int, TrustedIssuer], keys: dict[int, None], error: type[Exception]
) -> None:
    """Not even the epoch moves."""
    scene = two()
    epoch, looks = scene.verifier.gate.epoch, scene.looks
    with pytest.raises(error):
        scene.verifier.reload(issuers, keys=keys)
    assert scene.judge(token("a")) == scene.judge(token("b")) == "NONE"
    assert (scene.verifier.gate.epoch, scene.looks) == (epoch, looks)


def test_a_gate_has_one_issuer_in_a_row() -> None:
    """Two in one row, rows below 0, and a row that is not there are mistakes of the caller."""
    rules = PolicyRules(IssuerPolicy(issuer=None, audiences=None))
    one, again, far = (Verification(None, rules=rules, index=index) for index in (0, 0, 2))
    with pytest.raises(ValueError, match="row"):
        Verification(None, rules=rules, index=-1)
    gate = Gate(GrantCache(), verifications=[one])
    with pytest.raises(ValueError, match="row"):
        gate.reload([one, again], select=lambda name: 0)
    for beyond in (far, Verification(None, rules=rules, index=9)):
        gate.reload([one, Verification(None, rules=rules, index=3)], select=lambda name: 1)
        with pytest.raises(LookupError):
            gate.replace(beyond)
    grant, reason = gate.verify(token("a").encode(), NOW)
    assert (grant, reason.name, gate.last_fault) == (None, "INTERNAL", "LookupError"), (
        "a row that nobody has judges nothing"
    )


# --- other threads ----------------------------------------------------------------------------------------------------


def test_a_reload_in_the_middle_of_a_verification_decides() -> None:
    """A verdict under rules that were replaced while it was made is not used, and enters no cache."""
    scene = Scene({0: trusted("a"), 1: trusted("b")}, a=0, b=1)
    scene.meanwhile.append(lambda: scene.verifier.reload([trusted("a", audiences=("else",)), trusted("b")]))
    assert scene.judge(token("a")) == "WRONG_AUDIENCE"
    scene.meanwhile.append(lambda: scene.verifier.reload({1: trusted("b")}))
    assert scene.judge(token("b")) == "NONE"
    assert len(scene.verifier.gate.cache) == 1


def test_a_reload_in_the_middle_of_another_look_decides_at_the_next() -> None:
    """A remembered token whose issuer changes while it is looked at again is not stamped as good for afterwards."""
    scene = two()
    scene.verifier.renew()
    scene.meanwhile.append(lambda: scene.verifier.reload([trusted("a", audiences=("else",)), trusted("b")]))
    scene.judge(token("a"))
    assert scene.judge(token("a")) == "WRONG_AUDIENCE"


def test_threads_that_verify_while_issuers_come_and_go() -> None:
    """Each verdict of four threads is one that some reload could give, and the last reload decides for good."""
    scene = Scene({0: trusted("a"), 1: trusted("b")}, a=0, b=1)
    texts = [token(label, sub=f"s{number}") for label in ("a", "b") for number in range(20)]
    strange: list[str] = []
    stop = threading.Event()

    def verify() -> None:
        at = 0
        while not stop.is_set():
            reason = scene.judge(texts[at % len(texts)])
            at += 1
            if reason not in ("NONE", "WRONG_AUDIENCE", "WRONG_ISSUER"):
                strange.append(reason)

    threads = [threading.Thread(target=verify) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(60):
            others = ({1: trusted("b")}, {2: trusted("c")}, {1: trusted("b", audiences=("else",))})[number % 3]
            given = {1: ring("b", "k1")} if 1 in others else {}
            scene.verifier.reload({0: trusted("a"), **others}, keys=given)
        scene.verifier.reload({0: trusted("a", audiences=("else",)), 2: trusted("c")})
        for text in texts:
            assert scene.judge(text) == ("WRONG_AUDIENCE" if text in texts[:20] else "WRONG_ISSUER")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert strange == [] and scene.verifier.gate.faults == 0
