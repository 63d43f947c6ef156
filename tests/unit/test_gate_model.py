"""The gate against a model, and against other threads: random changes of keys, issuers, revocations and time, also in the middle of a verdict."""

import itertools
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from lbjwt._grants import Grant
from tests.harness.examples import examples
from tests.unit.auth_tokens import NOW, claims
from tests.unit.several_issuers import KEYS, LABELS, Bench, issuer, ring, token, trusted

# --- other threads ----------------------------------------------------------------------------------------------------


def test_keys_replaced_in_the_middle_of_a_verification_decide() -> None:
    """The key that verified went while its token was being judged: the later keys have the last word, and nothing is remembered (THREATS B18)."""
    bench: Bench
    meanwhile: list[Callable[[], None]] = []

    def revoked(index: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        if meanwhile:
            meanwhile.pop()()
        return False

    bench = Bench(revoked=revoked)
    meanwhile.append(lambda: bench.verifier.publish(ring("a", "k2"), 0))
    assert bench.judge(token("a")) == "UNKNOWN_KEY"
    assert bench.cached == 0
    meanwhile.append(lambda: bench.verifier.publish(None, 0))
    assert bench.judge(token("a", "k2")) == "KEYS_UNAVAILABLE"


def test_keys_replaced_in_the_middle_of_another_look_decide_at_the_next() -> None:
    """A remembered token whose key goes while it is looked at again is not stamped as good for afterwards (THREATS B18)."""
    meanwhile: list[Callable[[], None]] = []

    def revoked(index: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        if meanwhile:
            meanwhile.pop()()
        return False

    bench = Bench(revoked=revoked)
    text = token("a")
    assert bench.judge(text) == "NONE"
    bench.verifier.renew()
    meanwhile.append(lambda: bench.verifier.publish(ring("a", "k2"), 0))
    bench.judge(text)
    assert bench.judge(text) == "UNKNOWN_KEY"


def test_a_revocation_in_the_middle_of_a_verification_is_not_missed() -> None:
    """Said to be good, revoked a moment later and renewed: the grant made of the earlier answer is not believed (THREATS C20)."""
    revoked_now: set[str] = set()
    meanwhile: list[Callable[[], None]] = []

    def revoked(index: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
        found = claims["sub"] in revoked_now
        if meanwhile:
            meanwhile.pop()()
        return found

    bench = Bench(revoked=revoked)

    def revoke() -> None:
        revoked_now.add("user-of-a")
        bench.verifier.renew()

    meanwhile.append(revoke)
    assert bench.judge(token("a")) == "REVOKED"
    assert bench.cached == 0


def test_threads_that_verify_while_keys_come_and_go() -> None:
    """Each verdict of four threads is one that the keys before or after could give, and once a key is gone for good so are its tokens."""
    bench = Bench()
    texts = [token("a", kid, sub=f"s{number}") for kid in ("k1", "k2") for number in range(20)]
    strange: list[str] = []
    stop = threading.Event()

    def verify() -> None:
        at = 0
        while not stop.is_set():
            reason = bench.judge(texts[at % len(texts)])
            at += 1
            if reason not in ("NONE", "UNKNOWN_KEY", "KEYS_UNAVAILABLE"):
                strange.append(reason)

    threads = [threading.Thread(target=verify) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(60):
            bench.verifier.publish((ring("a", "k1"), ring("a", "k2"), ring("a", "k1", "k2"), None)[number % 4], 0)
        bench.verifier.publish(ring("a", "k2"), 0)
        for text in texts:
            assert bench.judge(text) == ("UNKNOWN_KEY" if text in texts[:20] else "NONE")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert strange == []


# --- against a model ---------------------------------------------------------------------------------

TOKENS: dict[str, tuple[str, str, str, float, float]] = {}
"""Text to (issuer that signed, key id, jti, first and last moment). Equal ids of different issuers are among them on purpose."""

for _label, _kid, _jti, (_from, _until) in itertools.product(LABELS, ("k1", "k2"), ("1", "2"), ((0, 100), (50, 80))):
    _text = KEYS[_label][_kid].token(
        claims(
            iss=issuer(_label),
            sub=f"{_label}{_kid}{_jti}{_until}",
            jti=_jti,
            iat=None,
            nbf=NOW + _from,
            exp=NOW + _until,
        )
    )
    TOKENS[_text] = (_label, _kid, _jti, NOW + _from, NOW + _until)
TEXTS = list(TOKENS)


class GateMachine(RuleBasedStateMachine):
    """Keys and issuers come and go, ids are revoked, time runs both ways, connections hold grants: every verdict is that of the model."""

    @initialize()
    def start(self) -> None:
        self.bench = Bench()
        self.keys: dict[str, frozenset[str] | None] = {label: frozenset({"k1"}) for label in LABELS}
        self.audiences = dict.fromkeys(LABELS, "api")
        self.revoked: set[tuple[str, str]] = set()
        self.now = NOW
        self.hint: Grant | None = None

        def asked(index: int, kid: str, claims: Mapping[str, Any], now: float) -> bool:
            return (LABELS[index], claims["jti"]) in self.revoked

        self.bench = Bench(revoked=asked)

    def expected(self, text: str) -> str:
        signer, kid, jti, start, end = TOKENS[text]
        label = signer if len(self.audiences) > 1 else next(iter(self.audiences))  # one issuer judges every token
        if label not in self.audiences:
            return "WRONG_ISSUER"
        keys = self.keys[label]
        if keys is None:
            return "KEYS_UNAVAILABLE"
        if kid not in keys:
            return "UNKNOWN_KEY"
        if signer != label:
            return "BAD_SIGNATURE"
        if self.audiences[label] != "api":
            return "WRONG_AUDIENCE"
        if self.now >= end:
            return "EXPIRED"
        if self.now < start:
            return "NOT_YET_VALID"
        return "REVOKED" if (label, jti) in self.revoked else "NONE"

    @rule(label=st.sampled_from(LABELS), kids=st.none() | st.sets(st.sampled_from(["k1", "k2"]), min_size=1))
    def publish(self, label: str, kids: set[str] | None) -> None:
        if label not in self.audiences:
            return
        self.keys[label] = None if kids is None else frozenset(kids)
        self.bench.verifier.publish(None if kids is None else ring(label, *sorted(kids)), LABELS.index(label))

    @rule(audiences=st.dictionaries(st.sampled_from(LABELS), st.sampled_from(["api", "other"]), min_size=1))
    def reload(self, audiences: dict[str, str]) -> None:
        self.keys.update(dict.fromkeys(audiences.keys() - self.audiences.keys()))
        self.audiences = audiences
        self.bench.verifier.reload(
            {LABELS.index(label): trusted(label, audiences=(audience,)) for label, audience in audiences.items()}
        )

    @rule(label=st.sampled_from(LABELS), jti=st.sampled_from(["1", "2"]))
    def revoke(self, label: str, jti: str) -> None:
        self.revoked.add((label, jti))
        self.bench.verifier.renew()

    @rule(label=st.sampled_from(LABELS), jti=st.sampled_from(["1", "2"]))
    def forgive(self, label: str, jti: str) -> None:
        self.revoked.discard((label, jti))  # an entry that ends: nobody is told

    @rule(seconds=st.integers(-10, 120))
    def time(self, seconds: int) -> None:
        self.now = NOW + seconds

    @rule(text=st.sampled_from(TEXTS), hinted=st.booleans(), copied=st.booleans())
    def verify(self, text: str, hinted: bool, copied: bool) -> None:
        value = text.encode()
        grant, reason = self.bench.verifier.gate.verify(
            bytes(bytearray(value)) if copied else value, self.now, self.hint if hinted else None
        )
        assert reason.name == self.expected(text)
        if grant is None:
            return
        label, kid, jti, _, end = TOKENS[text]
        assert (grant.issuer, grant.key_id, grant.token) == (issuer(label), kid, text.encode())
        assert grant.identity_headers == f"X-{label.upper()}: {label}{kid}{jti}{end - NOW:.0f}\r\n".encode()
        self.hint = grant

    @rule()
    def forget(self) -> None:
        self.bench.verifier.gate.cache.clear()

    @invariant()
    def no_faults(self) -> None:
        if hasattr(self, "bench"):
            assert self.bench.verifier.gate.faults == 0
            assert self.bench.cached <= len(TEXTS)


TestGateModel = GateMachine.TestCase
TestGateModel.settings = settings(max_examples=examples(60), stateful_step_count=50, deadline=None)


def test_the_model_has_all_verdicts() -> None:
    """The machine can come to each of its expectations, or it would prove less than it says."""

    def expectations() -> Iterator[str]:
        machine = GateMachine()
        machine.start()
        for keys in (None, frozenset({"k2"}), frozenset({"k1", "k2"})):
            machine.keys["a"] = keys
            for machine.now in (NOW - 5, NOW + 20, NOW + 200):
                for machine.revoked in (set(), {("a", "1")}):
                    yield from (machine.expected(text) for text in TEXTS)
        for machine.audiences in ({"a": "api"}, {"a": "api", "b": "other"}):
            yield from (machine.expected(text) for text in TEXTS)

    assert set(expectations()) == {
        *("NONE", "KEYS_UNAVAILABLE", "UNKNOWN_KEY", "EXPIRED", "NOT_YET_VALID", "REVOKED"),
        *("WRONG_ISSUER", "WRONG_AUDIENCE", "BAD_SIGNATURE"),
    }
