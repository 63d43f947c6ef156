"""Two issuers with one `iss`: their audiences are disjoint, and the `aud` of a token tells whose keys and rules apply."""

from pathlib import Path
from typing import Any

import pytest

from lbjwt.assembly.issuers import issuer_instances, trusted_issuers
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import TrustedIssuer
from lbjwt.auth.verifier import Verifier
from lbjwt.config.load import load_text
from lbjwt.config.problems import ConfigurationError as Problems
from lbjwt.errors import ConfigurationError
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import ISSUER, NOW, claims, judged, jwk_of, rsa_key, token


def trusted(*audiences: str, **rules: Any) -> TrustedIssuer:
    return TrustedIssuer(policy=IssuerPolicy(issuer=ISSUER, audiences=audiences, **rules))


def ring(which: int) -> KeyRing:
    return KeyRing.from_jwks({"keys": [jwk_of(rsa_key(which), kid="k")]})


def two() -> Verifier:
    """One for `api` and `admin`, and one for `web`, with other keys under the same id and other rules."""
    made = Verifier.for_issuers([trusted("api", "admin"), trusted("web", required_claims=("role",))])
    made.publish(ring(0), 0)
    made.publish(ring(1), 1)
    return made


def minted(which: int, **said: Any) -> bytes:
    return token(claims(**said), algorithm="RS256", key=rsa_key(which), kid="k")


@pytest.mark.parametrize(
    ("which", "said", "reason", "index"),
    [
        (0, {"aud": "api"}, "NONE", 0),
        (0, {"aud": ["x", "admin"]}, "NONE", 0),
        (1, {"aud": "web", "role": "r"}, "NONE", 1),
        (1, {"aud": ["web", 5], "role": "r"}, "INVALID_CLAIM", None),
        (1, {"aud": "web"}, "MISSING_CLAIM", None),
        (1, {"aud": "api"}, "BAD_SIGNATURE", None),  # no key of one is a key of the other
        (0, {"aud": "web", "role": "r"}, "BAD_SIGNATURE", None),
        (0, {"aud": ["web", "api"]}, "NONE", 0),  # the first one that it names
        (0, {"aud": "other"}, "WRONG_AUDIENCE", None),
        (1, {"aud": "other"}, "BAD_SIGNATURE", None),
        (0, {"aud": None}, "MISSING_CLAIM", None),
        (0, {"aud": 5}, "INVALID_CLAIM", None),
        (0, {"aud": {"api": 1}}, "INVALID_CLAIM", None),
    ],
)
def test_the_audience_chooses(which: int, said: dict[str, Any], reason: str, index: int | None):
    """Of a token that names neither, the first one says what is wrong."""
    verdict = two().verify(minted(which, **said), NOW)
    assert judged(verdict) == reason
    assert (None if verdict.grant is None else verdict.grant.issuer_index) == index


def test_known_tokens_stay_with_theirs():
    """A reload that leaves both as they are keeps their tokens; one that gives the audience to the other entry does not."""
    one = two()
    api, web = minted(0), minted(1, aud="web", role="r")
    assert judged(one.verify(api, NOW)) == judged(one.verify(web, NOW)) == "NONE"
    one.renew()
    assert judged(one.verify(api, NOW)) == judged(one.verify(web, NOW)) == "NONE"
    assert one.gate.cache.hits == 2
    one.reload([trusted("admin"), trusted("web", "api", required_claims=("role",))])
    assert judged(one.verify(api, NOW)) == "BAD_SIGNATURE"
    one.reload([trusted("api"), trusted("web", required_claims=("role",)), trusted("more")])
    assert judged(one.verify(api, NOW)) == "NONE"


@pytest.mark.parametrize("second", [("api",), ("x", "admin"), None])
def test_audiences_that_overlap_are_a_mistake(second: tuple[str, ...] | None):
    """Then nothing would tell whose a token is."""
    other = TrustedIssuer(policy=IssuerPolicy(issuer=ISSUER, audiences=second))
    with pytest.raises(ConfigurationError, match="not disjoint"):
        Verifier.for_issuers([trusted("api", "admin"), other])


BASE = """
listeners: [{address: "127.0.0.1:8080"}]
clusters: {main: {endpoints: [{address: "127.0.0.1:9001"}]}}
issuers:
  api: {issuer: "https://i", audiences: [api], jwks: {keys: []}}
"""


def test_a_configuration_may_have_both():
    """With places of their own, as Envoy has two providers of one issuer."""
    text = BASE + '  web: {issuer: "https://i", audiences: [web], jwks: {keys: []}, from_cookies: [{name: __Host-t}]}\n'
    made = load_text(text, Path("/"))
    policies = [one.policy for one in trusted_issuers(made, issuer_instances(made)).values()]
    assert [(policy.issuer, policy.audiences) for policy in policies] == [
        ("https://i", ("api",)),
        ("https://i", ("web",)),
    ]


@pytest.mark.parametrize("members", ["audiences: [x, api]", "any_audience: true"])
def test_a_configuration_that_cannot_tell_them_apart_is_refused(members: str):
    """With what to do about it."""
    with pytest.raises(Problems, match=r"has the same issuer.*different audiences"):
        load_text(BASE + f'  web: {{issuer: "https://i", {members}, jwks: {{keys: []}}}}\n', Path("/"))
