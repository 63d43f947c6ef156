"""
What NGINX Plus (`auth_jwt`), kjdev's module and the `jwt-validation` action of an AWS ALB document about tokens, and what the imported lbjwt does.

None of the three can be run here. So each rule of their manuals is a row: a token, and the status that the manual says.

Source: nginx.org, ngx_http_auth_jwt_module; github.com/kjdev/nginx-auth-jwt; docs.aws.amazon.com, Application Load Balancers, "Verify JWTs" and
JwtValidationActionAdditionalClaim.
"""

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from lbjwt import Verifier
from lbjwt.asgi import JWTMiddleware
from lbjwt.config import document
from lbjwt.config.load import load_text
from lbjwt.imports.load import import_file
from tests.harness.tokens import TokenFactory
from tests.unit.web_calls import call, telling

FACTORY = TokenFactory("https://login.example", "shop")
STRANGER = TokenFactory("https://login.example", "shop")
SECRET = b"a secret of thirty-two bytes or more"

NGINX = """
http {
    auth_jwt_claim_set $role realm role;
    map $jwt_claim_sub $not_blocked { default 1; mallory 0; eve ""; }
    map $role $is_admin { "~^(admin|root)$" 1; }
    map $jwt_claim_iss $from_login { https://login.example 1; }
    map $jwt_claim_aud $for_shop { shop 1; }
    server {
        listen 8080;
        auth_jwt "shop";
        auth_jwt_key_file KEYS;
        location / { proxy_pass http://127.0.0.1:1; }
        location /open/ { auth_jwt off; proxy_pass http://127.0.0.1:1; }
        location /blocked/ { auth_jwt_require $not_blocked; proxy_pass http://127.0.0.1:1; }
        location /admin/ { auth_jwt_require $is_admin error=403; proxy_pass http://127.0.0.1:1; }
        location /ours/ { auth_jwt_require $from_login $for_shop; proxy_pass http://127.0.0.1:1; }
    }
}
"""
COOKIE = """
server {
    listen 8080;
    auth_jwt_leeway 30s;
    location / { auth_jwt "shop" token=$cookie_auth; auth_jwt_key_file KEYS; proxy_pass http://127.0.0.1:1; }
}
"""
HMAC = """
server {
    listen 8080;
    location / { auth_jwt "api"; auth_jwt_key_file KEYS; auth_jwt_validate_alg HS256; proxy_pass http://127.0.0.1:1; }
}
"""
KJDEV = """
server {
    listen 8080;
    auth_jwt "api";
    auth_jwt_key_file KEYS jwks;
    location / { auth_jwt_validate_alg RS256; proxy_pass http://127.0.0.1:1; }
    location /iss/ { auth_jwt_validate_alg RS256; auth_jwt_require_claim .iss eq "https://login.example"; proxy_pass http://127.0.0.1:1; }
    location /claims/ {
        auth_jwt_validate_alg RS256;
        auth_jwt_require_claim .level ge json=3 error=403;
        auth_jwt_require_claim .groups any json=["staff","admin"] error=403;
        auth_jwt_require_claim .status !eq suspended error=403;
        proxy_pass http://127.0.0.1:1;
    }
}
"""


def alb(*claims: dict[str, Any]) -> str:
    """An ALB whose one rule validates tokens with these additional claims."""
    group = {"TargetGroupArn": "arn:g", "TargetGroupName": "g", "Protocol": "HTTP", "Port": 80, "TargetType": "ip"}
    validation = {
        "Issuer": "https://login.example",
        "JwksEndpoint": "https://login.example/jwks",
        "AdditionalClaims": list(claims),
    }
    actions = [
        {"Type": "jwt-validation", "Order": 1, "JwtValidationConfig": validation},
        {"Type": "forward", "Order": 2, "TargetGroupArn": "arn:g"},
    ]
    health = {"TargetHealthDescriptions": [{"Target": {"Id": "127.0.0.1", "Port": 1}}], "TargetGroupArn": "arn:g"}
    parts = [
        {"Listeners": [{"ListenerArn": "arn:l", "Port": 80, "Protocol": "HTTP", "DefaultActions": actions}]},
        {"TargetGroups": [group]},
        health,
    ]
    return "\n".join(map(json.dumps, parts))


def claim(name: str, form: str, *values: str) -> dict[str, Any]:
    return {"Name": name, "Format": form, "Values": list(values)}


CLAIMS = alb(
    claim("aud", "single-string", "shop"), claim("tier", "single-string", "gold"), claim("scope", "space-separated-values", "read", "write"),
    claim("words", "space-separated-values", "one"), claim("roles", "string-array", "admin", "staff"),
)  # fmt: skip

FULL: dict[str, Any] = {
    "tier": "gold",
    "scope": "write other read",
    "words": "two one",
    "roles": ["staff", "admin", "other"],
}
"""Claims that pass everything that `CLAIMS` asks for."""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory):
    """The imported lbjwt as an application, with the keys of this test; made once for each file."""
    made: dict[str, tuple[JWTMiddleware, Verifier]] = {}

    def serve(kind: str, text: str) -> JWTMiddleware:
        if text not in made:
            folder = tmp_path_factory.mktemp("documented")
            keys = FACTORY.jwks()["keys"] + (
                [{"kty": "oct", "kid": "hs", "alg": "HS256", "k": "YSBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyBvciBtb3Jl"}]
                if kind == "nginx"
                else []
            )
            (folder / "jwks.json").write_text(json.dumps({"keys": keys}))
            (folder / "file").write_text(text.replace("KEYS", str(folder / "jwks.json")))
            root, _ = document.read(import_file(kind, folder / "file").text)
            assert root is not None
            for issuer in root.data["issuers"].values():
                if issuer.pop("remote_jwks", None):
                    issuer["jwks_file"] = str(folder / "jwks.json")
            verifier = Verifier.from_config(load_text(json.dumps(root.data), folder))
            made[text] = JWTMiddleware(telling, verifier), verifier
        return made[text][0]

    yield serve
    for _, verifier in made.values():
        verifier.close()


def now(seconds: int) -> int:
    return int(time.time()) + seconds


def hs256(key: bytes = SECRET) -> str:
    payload = {"iss": "https://login.example", "exp": now(600)}
    return jwt.encode(payload, key, "HS256", headers={"kid": "hs"})


def unsigned() -> str:
    return jwt.encode({"iss": "https://login.example", "exp": now(600)}, "", "none")


Row = tuple[str, str, Callable[[], str | None], int]

ROWS: dict[str, tuple[str, str, list[Row]]] = {
    "nginx: validity": ("nginx", NGINX, [
        ("/x", "a token in the Authorization header", lambda: FACTORY.mint(), 200),
        ("/x", "none", lambda: None, 401),
        ("/x", "no JWT", lambda: "opaque", 401),
        ("/x", "expired", lambda: FACTORY.mint(exp=now(-5)), 401),
        ("/x", "not valid yet", lambda: FACTORY.mint(nbf=now(5)), 401),
        ("/x", "valid since a moment", lambda: FACTORY.mint(nbf=now(-5)), 200),
        ("/x", "no exp: it is optional", lambda: FACTORY.mint(exp=None), 200),
        ("/x", "signed by somebody else", lambda: STRANGER.mint(), 401),
        ("/x", "RS256", lambda: FACTORY.mint("RS256"), 200),
        ("/x", "ES256", lambda: FACTORY.mint("ES256"), 200),
        ("/x", "EdDSA", lambda: FACTORY.mint("EdDSA"), 200),
        ("/x", "none as its algorithm", unsigned, 401),
        ("/x", "any issuer: nobody asks", lambda: FACTORY.mint(iss="https://other.example"), 200),
        ("/x", "any audience: nobody asks", lambda: FACTORY.mint(aud="other"), 200),
        ("/open/x", "off", lambda: None, 200),
        ("/open/x", "off, and a bad token", lambda: "opaque", 200),
    ]),
    "nginx: auth_jwt_require": ("nginx", NGINX, [
        ("/blocked/x", "a value of 1", lambda: FACTORY.mint(), 200),
        ("/blocked/x", "0 refuses, by default with 401", lambda: FACTORY.mint(sub="mallory"), 401),
        ("/blocked/x", "so does an empty one", lambda: FACTORY.mint(sub="eve"), 401),
        ("/admin/x", "a claim inside a claim", lambda: FACTORY.mint(realm={"role": "admin"}), 200),
        ("/admin/x", "error=403", lambda: FACTORY.mint(realm={"role": "user"}), 403),
        ("/admin/x", "a claim that is missing is empty", lambda: FACTORY.mint(), 403),
        ("/admin/x", "the token is verified first", lambda: STRANGER.mint(realm={"role": "admin"}), 401),
        ("/ours/x", "several variables", lambda: FACTORY.mint(), 200),
        ("/ours/x", "one of them refuses", lambda: FACTORY.mint(aud="other"), 401),
        ("/ours/x", "the other one", lambda: FACTORY.mint(iss="https://other.example"), 401),
    ]),
    "nginx: token= and leeway": ("nginx", COOKIE, [
        ("cookie", "in the cookie", lambda: FACTORY.mint(), 200),
        ("/x", "in Authorization, where nobody looks", lambda: FACTORY.mint(), 401),
        ("cookie", "expired within the leeway", lambda: FACTORY.mint(exp=now(-15)), 200),
        ("cookie", "expired before it", lambda: FACTORY.mint(exp=now(-60)), 401),
        ("cookie", "not valid yet, within the leeway", lambda: FACTORY.mint(nbf=now(15)), 200),
        ("cookie", "not valid yet, beyond it", lambda: FACTORY.mint(nbf=now(60)), 401),
    ]),
    "kjdev": ("nginx", KJDEV, [
        ("/x", "the algorithm that is asked for", lambda: FACTORY.mint("RS256"), 200),
        ("/x", "another one", lambda: FACTORY.mint("ES256"), 401),
        ("/claims/x", "everything", lambda: FACTORY.mint(level=3, groups=["other", "admin"], status="active"), 200),
        ("/iss/x", "eq", lambda: FACTORY.mint(), 200),
        ("/iss/x", "eq, by default with 401", lambda: FACTORY.mint(iss="https://other.example"), 401),
        ("/claims/x", "ge", lambda: FACTORY.mint(level=2, groups=["staff"], status="active"), 403),
        ("/claims/x", "any", lambda: FACTORY.mint(level=3, groups=["other"], status="active"), 403),
        ("/claims/x", "!eq", lambda: FACTORY.mint(level=3, groups=["staff"], status="suspended"), 403),
        ("/claims/x", "!eq of a claim that is missing", lambda: FACTORY.mint(level=3, groups=["staff"]), 403),
        ("/claims/x", "a claim that is missing", lambda: FACTORY.mint(groups=["staff"], status="active"), 403),
    ]),
    "kjdev: secrets": ("nginx", HMAC, [
        ("/x", "with the secret in the key file", hs256, 200),
        ("/x", "with another secret", lambda: hs256(b"another secret of thirty-two bytes.."), 401),
        ("/x", "with a public key in the key file", lambda: FACTORY.mint(), 401),
    ]),
    "ALB: validity": ("alb", alb(), [
        ("/x", "iss and exp, and a signature with RS256", lambda: FACTORY.mint(), 200),
        ("/x", "none", lambda: None, 401),
        ("/x", "no JWT", lambda: "opaque", 401),
        ("/x", "no exp: it is mandatory", lambda: FACTORY.mint(exp=None), 401),
        ("/x", "no iss: it is mandatory", lambda: FACTORY.mint(iss=None), 401),
        ("/x", "another issuer", lambda: FACTORY.mint(iss="https://other.example"), 401),
        ("/x", "expired", lambda: FACTORY.mint(exp=now(-300)), 401),
        ("/x", "nbf, if it is there", lambda: FACTORY.mint(nbf=now(300)), 401),
        ("/x", "iat, if it is there", lambda: FACTORY.mint(iat=now(300)), 401),
        ("/x", "neither", lambda: FACTORY.mint(iat=None), 200),
        ("/x", "RS256 only", lambda: FACTORY.mint("ES256"), 401),
        ("/x", "none as its algorithm", unsigned, 401),
        ("/x", "signed by somebody else", lambda: STRANGER.mint(), 401),
        ("/x", "any audience: nobody asks", lambda: FACTORY.mint(aud="other"), 200),
    ]),
    "ALB: additional claims": ("alb", CLAIMS, [
        ("/x", "all of them", lambda: FACTORY.mint(**FULL), 200),
        ("/x", "single-string: another value", lambda: FACTORY.mint(**{**FULL, "tier": "golden"}), 401),
        ("/x", "single-string: missing", lambda: FACTORY.mint(**{**FULL, "tier": None}), 401),
        ("/x", "single-string: no string", lambda: FACTORY.mint(**{**FULL, "tier": 1}), 401),
        ("/x", "aud", lambda: FACTORY.mint(**{**FULL, "aud": "other"}), 401),
        ("/x", "space-separated-values: one is missing", lambda: FACTORY.mint(**{**FULL, "scope": "read"}), 401),
        ("/x", "space-separated-values: part of a word", lambda: FACTORY.mint(**{**FULL, "words": "ones"}), 401),
        ("/x", "space-separated-values: missing", lambda: FACTORY.mint(**{**FULL, "words": None}), 401),
        ("/x", "string-array: one is missing", lambda: FACTORY.mint(**{**FULL, "roles": ["admin"]}), 401),
        ("/x", "string-array: no array", lambda: FACTORY.mint(**{**FULL, "roles": "admin staff"}), 401),
        ("/x", "string-array: missing", lambda: FACTORY.mint(**{**FULL, "roles": None}), 401),
    ]),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_rule_of_the_manual_holds_after_the_import(name: str, served: Any) -> None:
    kind, text, rows = ROWS[name]
    app = served(kind, text)
    found = {}
    for path, what, minted, status in rows:
        token = minted()
        field = ("cookie", f"a=b; auth={token}") if path == "cookie" else ("authorization", f"Bearer {token}")
        answered = call(app, "/x" if path == "cookie" else path, [] if token is None else [field])
        found[path, what] = answered.status, status
    assert {row: statuses for row, statuses in found.items() if statuses[0] != statuses[1]} == {}
