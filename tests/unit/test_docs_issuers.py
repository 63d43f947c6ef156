"""docs/issuers.md: each block of YAML accepts the access tokens of its issuer, and not the other tokens that the same keys sign."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from lbjwt.assembly.issuers import issuer_instances, new_verifier
from lbjwt.config.load import load_text
from lbjwt.jose.keyring import KeyRing
from tests.unit.auth_tokens import NOW, claims, judged, jwk_of, private_key, token
from tests.unit.documented import blocks, whole

BLOCKS = {next(iter(YAML(typ="safe", pure=True).load(block)["issuers"])): block for block in blocks("issuers.md")}

# By label: the algorithm, the claims of a token that passes, and what differs in others, each with its reason.
TOKENS: dict[str, tuple[str, dict[str, Any], list[tuple[dict[str, Any], str]]]] = {
    "keycloak": (
        "RS256",
        {"iss": "https://login.example/realms/shop", "aud": ["orders", "account"], "azp": "web", "typ": "Bearer"},
        [({"aud": "account"}, "WRONG_AUDIENCE"), ({"aud": "web", "typ": "ID"}, "WRONG_AUDIENCE")],
    ),
    "auth0": (
        "RS256",
        {
            "iss": "https://example.eu.auth0.com/",
            "aud": ["https://api.example/orders", "https://example.eu.auth0.com/userinfo"],
            "azp": "web",
        },
        [({"aud": "web"}, "WRONG_AUDIENCE"), ({"iss": "https://example.eu.auth0.com"}, "WRONG_ISSUER")],
    ),
    "okta": (
        "RS256",
        {"iss": "https://example.okta.com/oauth2/default", "aud": "api://default", "cid": "0oa1", "scp": ["orders"]},
        [({"aud": "0oa1"}, "WRONG_AUDIENCE"), ({"iss": "https://example.okta.com"}, "WRONG_ISSUER")],
    ),
    "entra": (
        "RS256",
        {
            "iss": "https://login.microsoftonline.com/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/v2.0",
            "aud": "6731de76-14a6-49ae-97bc-6eba6914391e",
            "scp": "Orders.Read",
        },
        [
            ({"iss": "https://sts.windows.net/8eaef023-2b34-4da1-9baa-8bc8c9d6a490/"}, "WRONG_ISSUER"),
            ({"aud": "00000003-0000-0000-c000-000000000000"}, "WRONG_AUDIENCE"),
        ],
    ),
    "cognito": (
        "RS256",
        {
            "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Ab12Cd34E",
            "aud": None,
            "client_id": "1example23456789",
            "token_use": "access",
            "scope": "openid orders/read",
        },
        [
            ({"client_id": None, "aud": "1example23456789", "token_use": "id", "scope": None}, "MISSING_CLAIM"),
            ({"client_id": "another"}, "CLIENT_REFUSED"),
            ({"scope": "aws.cognito.signin.user.admin"}, "INSUFFICIENT_SCOPE"),
        ],
    ),
    "google": (
        "RS256",
        {"iss": "https://accounts.google.com", "aud": "https://orders.example", "sub": "112010400000000710080"},
        [({"sub": "112010400000000710081"}, "SUBJECT_REFUSED"), ({"aud": "web"}, "WRONG_AUDIENCE")],
    ),
    "firebase": (
        "RS256",
        {"iss": "https://securetoken.google.com/shop-1234", "aud": "shop-1234"},
        [({"iss": "https://securetoken.google.com/other", "aud": "other"}, "WRONG_ISSUER")],
    ),
    "supabase": (
        "ES256",
        {"iss": "https://abcdefghijklmnop.supabase.co/auth/v1", "aud": "authenticated", "role": "authenticated"},
        [({"iss": "supabase", "aud": None, "role": "service_role"}, "WRONG_ISSUER")],
    ),
    "iap": (
        "ES256",
        {
            "iss": "https://cloud.google.com/iap",
            "aud": "/projects/123456789012/global/backendServices/9876543210",
        },
        [({"aud": "/projects/1/global/backendServices/2"}, "WRONG_AUDIENCE")],
    ),
    "cloudflare": (
        "RS256",
        {
            "iss": "https://example.cloudflareaccess.com",
            "aud": ["4714c1358e65fe4b408ad6d432a5f878f08194bdb4752441fd56faefa9b2b6f2"],
            "type": "app",
        },
        [({"aud": ["0" * 64]}, "WRONG_AUDIENCE")],
    ),
    "github": (
        "RS256",
        {
            "iss": "https://token.actions.githubusercontent.com",
            "aud": "https://deploy.example",
            "sub": "repo:acme@123456/shop@456789:ref:refs/heads/main",
        },
        [
            ({"sub": "repo:acme@123456/shop@456789x:ref:refs/heads/main"}, "SUBJECT_REFUSED"),
            ({"sub": "repo:mallory@1/shop@456789:ref:refs/heads/main"}, "SUBJECT_REFUSED"),
        ],
    ),
    "cluster": (
        "RS256",
        {
            "iss": "https://kubernetes.default.svc.cluster.local",
            "aud": ["orders"],
            "sub": "system:serviceaccount:web:frontend",
        },
        [
            ({"aud": ["https://kubernetes.default.svc.cluster.local"]}, "WRONG_AUDIENCE"),
            ({"sub": "system:serviceaccount:web:default"}, "SUBJECT_REFUSED"),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("label", BLOCKS)
def test_the_tokens_of_an_issuer(label: str) -> None:
    """The block of the page lets a token of the documented shape pass, and says why it refuses the others."""
    algorithm, good, others = TOKENS[label]
    configuration = load_text(whole(BLOCKS[label]), Path("/"))
    instances = issuer_instances(configuration)
    verifier = new_verifier(configuration, instances)
    key = private_key(algorithm)
    verifier.publish(KeyRing.from_jwks({"keys": [jwk_of(key, kid="k1", alg=algorithm)]}), instances[0].index)
    assert judged(verifier.verify(token(claims(**good), algorithm=algorithm), NOW)) == "NONE"
    for changes, reason in others:
        assert judged(verifier.verify(token(claims(**{**good, **changes}), algorithm=algorithm), NOW)) == reason
