"""From the issuers section to verifiers and identity headers: every key arrives where it takes effect."""

from typing import Any

import orjson
import pytest

from lbjwt.assembly.cluster import new_policy
from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.config.claim_header import ClaimHeader
from lbjwt.config.issuer import KEY_SOURCES, Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.tenants import Tenants
from lbjwt.http1._request import RequestHead
from lbjwt.jose.keyring import KeyRing
from tests.harness.keys import new_key
from tests.unit.assembly_cases import TEMPLATE, configuration
from tests.unit.auth_tokens import NOW, claims, judged

KEY = new_key("EdDSA", "k1")


def one(members: str, rest: str = "", issuer: str = "issuer: https://a.test, audiences: [api]") -> Configuration:
    return configuration(f"  main: {{{issuer}, jwks: {{keys: []}}, {members}}}", rest)


CASES: dict[str, tuple[str, str, Any]] = {
    # key: (members, attribute of the policy, its value)
    "issuer": ("", "issuer", "https://a.test"),
    "audiences": ("", "audiences", ("api",)),
    "algorithms": ("algorithms: [ES256, EdDSA]", "algorithms", ("ES256", "EdDSA")),
    "clock_skew": ("clock_skew: 7s", "clock_skew", 7.0),
    "require_expiration": ("require_expiration: false", "require_expiration", False),
    "required_claims": ("required_claims: [x, y]", "required_claims", ("x", "y")),
    "max_lifetime": ("max_lifetime: 2h", "max_lifetime", 7200.0),
    "max_remaining": ("max_remaining: 1h", "max_remaining", 3600.0),
    "max_age": ("max_age: 3h", "max_age", 10800.0),
    "typ": ("typ: at+jwt", "typ", "at+jwt"),
    "access_token_profile": ("access_token_profile: true", "access_token_profile", True),
    "subjects": ("subjects: [s1, s2]", "subjects", ("s1", "s2")),
    "subject_prefixes": ("subject_prefixes: [a]", "subject_prefixes", ("a",)),
    "subject_suffixes": ("subject_suffixes: [b]", "subject_suffixes", ("b",)),
    "required_headers": (
        "required_headers: {signer: x, v: [1, true]}",
        "required_headers",
        {"signer": ("x",), "v": (1, True)},
    ),
    "clients": ("clients: [c1]", "clients", ("c1",)),
    "refuse_sender_constrained": ("refuse_sender_constrained: true", "refuse_sender_constrained", True),
    "required_scopes": ("required_scopes: [r, w]", "required_scopes", ("r", "w")),
    "allow_padding": ("allow_padding: true", "allow_padding", True),
}
ELSEWHERE = {
    *("any_issuer", "any_audience", "tenants"),  # below
    "jwe",  # test_assembly_decryption
    *KEY_SOURCES,  # test_assembly and test_assembly_keys
    *("from_headers", "from_cookies", "from_params", "from_subprotocol"),  # tests/playbooks/test_admission_places.py
}


def test_no_key_of_an_issuer_is_left_out() -> None:
    """A key that a person can write and that arrives nowhere would be a check that is not made."""
    assert CASES.keys() | ELSEWHERE == set(Issuer.model_fields) and not CASES.keys() & ELSEWHERE


@pytest.mark.parametrize("key", CASES)
def test_a_rule_of_the_issuer_is_one_of_its_policy(key: str) -> None:
    """With the key the policy says so; without it, it says what the default of the key says."""
    members, attribute, value = CASES[key]
    made = one(members)
    assert getattr(new_verifier(made, issuer_instances(made)).policy, attribute) == value
    plain = one("")
    default = getattr(new_verifier(plain, issuer_instances(plain)).policy, attribute)
    field = Issuer.model_fields[key]
    if not members:
        return
    unset = field.get_default(call_default_factory=True)
    assert default == (None if key in ("subjects", "clients") else unset) != value


def test_what_is_waived_aloud_is_no_rule() -> None:
    """any_issuer and any_audience leave nothing to compare with."""
    made = one("", issuer="any_issuer: true, any_audience: true")
    policy = new_verifier(made, issuer_instances(made)).policy
    assert (policy.issuer, policy.audiences) == (None, None)


def test_each_issuer_keeps_its_own_rules_and_place() -> None:
    """Indexes follow the file, and nothing of one section is found in another."""
    made = configuration(
        "  b: {issuer: https://b.test, audiences: [x], jwks: {keys: []}, clock_skew: 1s}\n"
        "  a: {issuer: https://a.test, any_audience: true, jwks: {keys: []}, max_age: 1h}"
    )
    instances = issuer_instances(made)
    assert [(one.index, one.name, one.label, one.tenant) for one in instances] == [(0, "b", "b", ""), (1, "a", "a", "")]
    verifier = new_verifier(made, instances)
    ring = KeyRing.from_jwks({"keys": [KEY.jwk()]})
    verifier.publish(ring, 1)
    assert judged(verifier.verify(KEY.token(claims(iss="https://a.test", aud="any")), NOW)) == "NONE"
    assert judged(verifier.verify(KEY.token(claims(iss="https://b.test", aud="x")), NOW)) == "KEYS_UNAVAILABLE"
    verifier.publish(ring, 0)
    assert judged(verifier.verify(KEY.token(claims(iss="https://b.test", aud="any")), NOW)) == "WRONG_AUDIENCE"
    stale = {"exp": int(NOW) - 30, "iat": int(NOW) - 60}
    assert judged(verifier.verify(KEY.token(claims(iss="https://b.test", aud="x", **stale)), NOW)) == "EXPIRED"
    assert judged(verifier.verify(KEY.token(claims(iss="https://a.test", **stale)), NOW)) == "NONE"


# --- tenants ----------------------------------------------------------------------------------------------------------


def test_tenants_of_one_key_set_are_one_issuer() -> None:
    """A list or a kind of words becomes a pattern with the limits that were given."""
    named = one("tenants: {names: [red, blue]}", issuer=TEMPLATE)
    (instance,) = issuer_instances(named)
    assert (instance.name, instance.tenant) == ("main", "")
    assert new_verifier(named, [instance]).policy.issuer == IssuerPattern(
        template="https://login.test/{tenant}/v2", tenants=("red", "blue")
    )
    kind = one("tenants: {kind: hex, max_length: 5, max_tenants: 2}", issuer=TEMPLATE)
    assert new_verifier(kind, issuer_instances(kind)).policy.issuer == IssuerPattern(
        template="https://login.test/{tenant}/v2", tenant_class="hex", max_length=5, max_tenants=2
    )
    assert set(Tenants.model_fields) == {"names", "kind", "max_length", "max_tenants"}


@pytest.mark.parametrize("source", ["discovery: {}", "remote_jwks: {uri: 'https://login.test/{tenant}/keys'}"])
def test_b17_tenants_with_keys_of_their_own_are_an_issuer_each(source: str) -> None:
    """One instance a tenant, named by it, with the exact issuer: the keys of one tenant verify no other (THREATS B17)."""
    made = configuration(
        f"  first: {{issuer: https://x.test, audiences: [api], jwks: {{keys: []}}}}\n"
        f"  main: {{{TEMPLATE}, tenants: {{names: [red, blue]}}, {source}}}"
    )
    instances = issuer_instances(made)
    assert [(one.index, one.name, one.label, one.tenant) for one in instances] == [
        (0, "first", "first", ""),
        (1, "main/red", "main", "red"),
        (2, "main/blue", "main", "blue"),
    ]
    assert [one.of_tenant("https://login.test/{tenant}/keys") for one in instances[1:]] == [
        "https://login.test/red/keys",
        "https://login.test/blue/keys",
    ]
    verifier = new_verifier(made, instances)
    verifier.publish(KeyRing.from_jwks({"keys": [KEY.jwk()]}), 1)
    verifier.publish(KeyRing.from_jwks({"keys": [new_key("EdDSA", "k1").jwk()]}), 2)
    assert judged(verifier.verify(KEY.token(claims(iss="https://login.test/red/v2")), NOW)) == "NONE"
    assert judged(verifier.verify(KEY.token(claims(iss="https://login.test/blue/v2")), NOW)) == "BAD_SIGNATURE"
    assert judged(verifier.verify(KEY.token(claims(iss="https://login.test/green/v2")), NOW)) == "WRONG_ISSUER"


def test_the_number_of_instances_is_the_one_that_the_configuration_counts() -> None:
    """Boards and limits are made for as many."""
    for members, issuer in (
        ("jwks: {keys: []}", "issuer: https://a.test, audiences: [api]"),
        ("discovery: {}, tenants: {names: [red, blue, green]}", TEMPLATE),
        ("jwks: {keys: []}, tenants: {names: [red, blue]}", TEMPLATE),
        ("remote_jwks: {uri: 'https://login.test/keys'}, tenants: {names: [red, blue]}", TEMPLATE),
        ("remote_jwks: {uri: 'https://login.test/keys'}, tenants: {kind: digits}", TEMPLATE),
    ):
        made = configuration(f"  main: {{{issuer}, {members}}}")
        assert len(issuer_instances(made)) == sum(len(issuer.instances) for issuer in made.issuers.values())


# --- identity headers -------------------------------------------------------------------------------------------------


def headers(entries: str, payload: dict[str, Any], rest: str = "", label: str = "a") -> bytes | str:
    """The header lines of a token of an issuer, or the reason for which it is refused."""
    made = configuration(
        "  a: {issuer: https://a.test, audiences: [api], jwks: {keys: []}}\n"
        "  b: {issuer: https://b.test, audiences: [api], jwks: {keys: []}}",
        f"claim_to_headers: {entries}\n{rest}",
    )
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    for instance in instances:
        verifier.publish(KeyRing.from_jwks({"keys": [KEY.jwk()]}), instance.index)
    verdict = verifier.verify(KEY.token(claims(iss=f"https://{label}.test", **payload)), NOW)
    return verdict.grant.identity_headers if verdict.grant is not None else judged(verdict)


def test_every_key_of_a_header_has_its_effect() -> None:
    """Name, path, whole payload, style, and what becomes of text that cannot stand."""
    assert headers("[{claim: sub, header: X-S}]", {"sub": "u"}) == b"X-S: u\r\n"
    assert headers("[{claim: [realm, 'a.b'], header: X-S}]", {"realm": {"a.b": 7}}) == b"X-S: 7\r\n"
    assert headers("[{claim: r, header: X-R}]", {"r": ["x", "y"]}) == b"X-R: x,y\r\n"
    assert headers("[{claim: r, header: X-R, style: json}]", {"r": ["x", "y"]}) == b'X-R: ["x","y"]\r\n'
    assert headers("[{claim: r, header: X-R, style: comma}]", {"r": {"x": 1}}) == "UNREPRESENTABLE_CLAIM"
    assert headers("[{claim: n, header: X-N}]", {"n": "Zoë"}) == b"X-N: Zo%C3%AB\r\n"
    assert headers("[{claim: n, header: X-N, unrepresentable: refuse}]", {"n": "Zoë"}) == "UNREPRESENTABLE_CLAIM"
    whole = headers("[{payload: true, header: X-P}]", {})
    assert isinstance(whole, bytes) and whole.startswith(b"X-P: ey") and b"=" not in whole
    assert set(ClaimHeader.model_fields) == {"claim", "payload", "header", "style", "unrepresentable", "issuer"}


def test_a_header_of_one_issuer_comes_from_no_other() -> None:
    """Bound to a label it is written for the tokens of that one; unbound for all; one name may have a claim of each."""
    entries = "[{claim: sub, header: X-S, issuer: a}, {claim: mail, header: X-S, issuer: b}, {claim: t, header: X-T}]"
    payload = {"sub": "u", "mail": "m", "t": "t"}
    assert headers(entries, payload, label="a") == b"X-S: u\r\nX-T: t\r\n"
    assert headers(entries, payload, label="b") == b"X-S: m\r\nX-T: t\r\n"


def test_a_header_of_a_label_is_one_of_all_its_tenants() -> None:
    """Every instance of the label writes it."""
    made = configuration(
        f"  main: {{{TEMPLATE}, tenants: {{names: [red, blue]}}, discovery: {{}}}}",
        "claim_to_headers: [{claim: sub, header: X-S, issuer: main}]",
    )
    instances = issuer_instances(made)
    verifier = new_verifier(made, instances)
    for index, tenant in enumerate(("red", "blue")):
        verifier.publish(KeyRing.from_jwks({"keys": [KEY.jwk()]}), index)
        grant = verifier.verify(KEY.token(claims(iss=f"https://login.test/{tenant}/v2", sub=tenant)), NOW).grant
        assert grant is not None and grant.identity_headers == f"X-S: {tenant}\r\n".encode()


def test_p11_both_limits_of_identity_headers_arrive() -> None:
    """One value over its limit and all lines over theirs refuse the token; at the limit they pass (THREATS P11)."""
    rest = "limits: {max_identity_header: 64, max_identity_headers: 128}"
    both = "[{claim: x, header: X-A}, {claim: y, header: X-B}]"
    assert headers(both, {"x": "x" * 64}, rest) == b"X-A: " + b"x" * 64 + b"\r\n"
    assert headers(both, {"x": "x" * 65}, rest) == "UNREPRESENTABLE_CLAIM"
    line = len("X-A: \r\n")
    assert isinstance(headers(both, {"x": "x" * 60, "y": "y" * (68 - 2 * line)}, rest), bytes)
    assert headers(both, {"x": "x" * 60, "y": "y" * (69 - 2 * line)}, rest) == "UNREPRESENTABLE_CLAIM"


def test_p1_what_clients_send_under_these_names_is_taken_out() -> None:
    """The head policy of every listener knows all names, of whatever issuer (THREATS P1)."""
    made = one("", "claim_to_headers: [{claim: sub, header: X-S}, {claim: t, header: X-T, issuer: main}]")
    for https in (True, False):
        policy = new_policy(made, https=https)
        assert policy.https is https
        seen = _written(policy, b"GET / HTTP/1.1\r\nHost: a\r\nX-S: 1\r\nx_t: 2\r\nX-U: 3\r\n\r\n")
        assert b"X-U: 3" in seen and b"X-S" not in seen and b"x_t" not in seen


def _written(policy: Any, data: bytes) -> bytes:
    head = RequestHead()
    assert head.parse_bytes(data, policy)
    return head.write_bytes(policy)


def test_revocations_are_asked_for_by_every_issuer() -> None:
    """The function that is handed over is asked with the index of each."""
    made = configuration(
        "  a: {issuer: https://a.test, audiences: [api], jwks: {keys: []}}\n"
        "  b: {issuer: https://b.test, audiences: [api], jwks: {keys: []}}"
    )
    asked: list[int] = []
    instances = issuer_instances(made)

    def revoked(index: int, *_: Any) -> bool:
        asked.append(index)
        return index == 1

    verifier = new_verifier(made, instances, revoked)
    for index, label in enumerate("ab"):
        verifier.publish(KeyRing.from_jwks({"keys": [KEY.jwk()]}), index)
        verdict = verifier.verify(KEY.token(claims(iss=f"https://{label}.test")), NOW)
        assert judged(verdict) == ("REVOKED" if index else "NONE")
    assert asked == [0, 1]


def test_an_inline_key_set_is_passed_on_as_it_is() -> None:
    """What stands in the file reaches the key ring, key by key."""
    text = orjson.dumps({"keys": [KEY.jwk()]}).decode()
    made = configuration(f"  main: {{issuer: https://a.test, audiences: [api], jwks: {text}}}")
    assert made.issuers["main"].jwks == {"keys": [KEY.jwk()]}
