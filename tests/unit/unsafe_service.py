"""Unsafe configurations of everything but issuers: routes, rules, headers, the service, its doors and files."""

from typing import Any

from tests.unit.unsafe_cases import Case, route

__all__ = ["CASES"]

TLS = {"certificate": "cert.pem", "private_key": "key.pem"}
SECURE = {"address": "https://127.0.0.1:9443"}
PROTECTED = {"name": "all"}
OTHER = {"issuer": "https://other.example", "audiences": ["api"], "remote_jwks": {"uri": "https://other.example/jwks"}}
REVOCATION = {"issuers.main.max_lifetime": "1h", "revocation": {"file": "revoked.jsonl"}}
SPARE = {"endpoints": [{"address": "127.0.0.1:9005"}]}
ASKED = {"address": "127.0.0.1:1", "mode": "authorize", "authorize": {"profile": "nginx"}}
ADMIN = {"address": "127.0.0.1:9900"}


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    """One route with rules."""
    return route(rules=list(found))


def opened(public: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """An open route beside protected ones."""
    return {"routes": [{"name": "open", "public": True, **public}, *others]}


CASES = [
    # --- health checks -----------------------------------------------------------------------------------------------------------
    Case(
        "a check that may take longer than the time to the next", "check-overlaps", "clusters.main.health_check.timeout",
        {"clusters.main.health_check": {"interval": "1s", "timeout": "1s"}},
        {"clusters.main.health_check": {"interval": "1s", "timeout": "900ms"}},
    ),
    # --- protocols ---------------------------------------------------------------------------------------------------------------
    Case(
        "an agreement that only TLS can bring about", "auto-without-tls", "clusters.main.protocol",
        {"clusters.main.protocol": "auto"}, {"clusters.main.protocol": "auto", "clusters.main.endpoints": [SECURE]},
    ),
    # --- open routes -------------------------------------------------------------------------------------------------------------
    Case("no route asks for a token", "nothing-protected", "routes", opened({"path": "/healthz"}), opened({"path": "/healthz"}, PROTECTED)),
    Case(
        "what was forgotten is open", "public-everything", "routes[0].public",
        opened({}, {"name": "api", "prefix": "/api"}), opened({"path": "/index.html"}, {"name": "api", "prefix": "/api"}),
    ),
    Case(
        "an open host wins over a protected path", "public-over-protected", "routes[0]",
        opened({"hosts": ["www.example"], "methods": ["GET"]}, {"name": "admin", "prefix": "/admin"}),
        opened({"hosts": ["www.example"], "methods": ["GET"]}, {"name": "admin", "hosts": ["www.example"], "prefix": "/admin"}),
    ),
    Case(
        "other methods are open", "methods-left-open", "routes[1].methods",
        opened({"prefix": "/a", "methods": ["GET", "DELETE"]}, {"name": "b", "prefix": "/a/b", "methods": ["GET", "POST"]}),
        opened({"prefix": "/a", "methods": ["GET", "DELETE"]}, {"name": "b", "prefix": "/a/b"}),
    ),
    Case(
        "another path leads around a protected route", "rewrite-around-route", "routes[0].rewrite",
        {"routes": [{"name": "api", "prefix": "/api", "rewrite": "/"}, {"name": "admin", "prefix": "/admin", "scopes": {"all": ["admin"]}}]},
        {"routes": [{"name": "api", "prefix": "/api", "rewrite": "/v2"}, {"name": "admin", "prefix": "/admin", "scopes": {"all": ["admin"]}}]},
    ),
    Case(
        "an open path of its own leads into a protected prefix", "rewrite-around-route", "routes[0].rewrite",
        opened({"path": "/start", "rewrite": "/admin/home"}, {"name": "admin", "prefix": "/admin"}),
        opened({"path": "/start", "rewrite": "/home"}, {"name": "admin", "prefix": "/admin"}),
    ),
    Case(
        "a route for the very path is in the way", "rewrite-around-route", "routes[0].rewrite",
        opened({"prefix": "/open", "rewrite": "/"}, {"name": "admin", "prefix": "/admin"}),
        opened(
            {"prefix": "/open", "rewrite": "/"}, {"name": "admin", "prefix": "/admin"},
            {"name": "same", "prefix": "/open/admin", "rewrite": "/admin"},
        ),
    ),
    Case(
        "a dotted claim in the path", "claim-with-dots", "routes[0].rewrite.path",
        route(rewrite={"path": "/t/{profile.tenant}"}), route(rewrite={"path": "/t/{tenant}", "claims": {"tenant": ["profile", "tenant"]}}),
    ),
    # --- the access log ----------------------------------------------------------------------------------------------------------
    Case(
        "all claims in the access log", "log-payload", "access_log.payload",
        {"access_log": {"path": "-", "payload": True}}, {"access_log": {"path": "-", "claims": ["sub", "tenant"]}},
    ),
    Case(
        "people in the access log", "log-personal-data", "access_log.claims[1]",
        {"access_log": {"path": "-", "claims": ["sub", ["profile", "email"]]}}, {"access_log": {"path": "-", "claims": ["sub"]}},
    ),
    Case(
        "a dotted claim in the access log", "claim-with-dots", "access_log.claims[0]",
        {"access_log": {"path": "-", "claims": ["realm_access.roles"]}}, {"access_log": {"path": "-", "claims": [["realm_access", "roles"]]}},
    ),
    # --- what is compared as it stands -------------------------------------------------------------------------------------------
    Case(
        "a star at the end of a path", "path-with-star", "routes[0].path",
        route(path="/api/*"), route(prefix="/api"),
    ),
    Case("two stars behind a prefix", "path-with-star", "routes[0].prefix", route(prefix="/api/**"), route(prefix="/api")),
    Case("a star in a path", "path-with-star", "routes[0].path", route(path="/users/*/orders"), route(prefix="/users")),
    Case("a parameter in a path", "path-with-star", "routes[0].path", route(path="/users/:id"), route(path="/v1/things:batch")),
    Case(
        "a claim in a claim as one name", "claim-with-dots", "routes[0].rules[0].claim",
        rules({"claim": "realm_access.roles", "contains": "clerk"}), rules({"claim": ["realm_access", "roles"], "contains": "clerk"}),
    ),
    Case(
        "a claim in a claim as one name, inside", "claim-with-dots", "routes[0].rules[0].any[1].not.claim",
        rules({"any": [{"claim": "a", "equals": 1}, {"not": {"claim": "address.country", "equals": "XX"}}]}),
        rules({"any": [{"claim": "https://a.example/roles", "contains": "x"}, {"not": {"claim": "kubernetes.io", "exists": True}}]}),
    ),
    Case(
        "a claim in a claim as one name, as a header", "claim-with-dots", "claim_to_headers[0].claim",
        {"claim_to_headers": [{"claim": "address.country", "header": "X-Country"}]},
        {"claim_to_headers": [{"claim": "com.example.country", "header": "X-Country"}, {"claim": "urn:a.b", "header": "X-B"}]},
    ),
    Case(
        "a claim in a claim is required", "claim-with-dots", "issuers.main.required_claims[0]",
        {"issuers.main.required_claims": ["realm_access.roles"]}, {"issuers.main.required_claims": ["realm_access"]},
    ),
    Case("a variable in a realm", "variable-as-text", "realm", {"realm": "${REALM}"}, {"realm": "$5 {a}"}),
    Case(
        "a variable in an audience", "variable-as-text", "issuers.main.audiences[0]",
        {"issuers.main.audiences": ["api-${STAGE:-dev}"]}, {"issuers.main.audiences": ["$api"]},
    ),
    Case(
        "a template in a rule", "variable-as-text", "routes[0].rules[0].equals",
        rules({"claim": "role", "equals": "{{ role }}"}), rules({"claim": "role", "equals": "{role}"}),
    ),
    # --- what routes let through -------------------------------------------------------------------------------------------------
    Case("only reported", "report-only", "routes[0].report_only", route(report_only=True), route(report_only=False)),
    Case(
        "without a token no rule", "optional-skips-rules", "routes[0].allow_missing",
        route(prefix="/a", allow_missing=True, scopes={"all": ["read"]}), route(prefix="/a", scopes={"all": ["read"]}),
    ),
    Case(
        "nobody needs a token", "optional-everything", "routes[0].allow_missing",
        route(allow_missing=True), route(prefix="/a", allow_missing=True),
    ),
    Case(
        "a cluster that no route uses", "cluster-unused", "clusters.spare",
        {"clusters": {"main": SPARE, "spare": SPARE}, "routes": [{"name": "all", "cluster": "main"}]},
        {"clusters": {"main": SPARE, "spare": SPARE}, "routes": [{"name": "all", "cluster": {"split": {"main": 1, "spare": 1}}}]},
    ),
    Case("streams outlive their token", "streams-outlive-token", "routes[0].end_streams", route(end_streams=False), route(end_streams=True)),
    Case(
        "a login page over http", "redirect-plain-http", "routes[0].refusals.redirect",
        route(refusals={"redirect": "http://login.example/"}), route(refusals={"redirect": "https://login.example/?to={url}"}),
    ),
    # --- rules ---------------------------------------------------------------------------------------------------------------------
    Case(
        "an address nobody checked", "email-unverified", "routes[0].rules[0].claim",
        rules({"claim": "email", "equals": "root@corp.example"}),
        rules({"claim": "email", "equals": "root@corp.example"}, {"claim": "email_verified", "equals": True}),
    ),
    # --- what endpoints are told, and what is believed -------------------------------------------------------------------------
    Case(
        "two people with one sub", "identity-without-issuer", "claim_to_headers[0]",
        {"issuers.other": OTHER, "claim_to_headers": [{"claim": "sub", "header": "X-Sub"}]},
        {"issuers.other": OTHER, "claim_to_headers": [{"claim": "sub", "header": "X-Sub"}, {"claim": "iss", "header": "X-Iss"}]},
    ),
    Case("names that fold", "header-names-allow", "header_names", {"header_names": "allow"}, {"header_names": "reject"}),
    Case(
        "everybody is a proxy", "trust-everyone", "trusted_proxies[1]",
        {"trusted_proxies": ["10.0.0.0/8", "::/0"]}, {"trusted_proxies": ["10.0.0.0/8"]},
    ),
    Case(
        "everybody may ask", "asked-by-everyone", "listeners[0].authorize.trusted_peers",
        {"listeners": [{**ASKED, "authorize": {"profile": "nginx", "trusted_peers": ["0.0.0.0/0"]}}], "clusters": {}},
        {"listeners": [ASKED], "clusters": {}},
    ),
    Case(
        "every user of the machine may ask", "asked-by-every-user", "listeners[0].socket_mode",
        {"listeners": [{**ASKED, "address": "unix:a.sock", "socket_mode": "0666"}], "clusters": {}},
        {"listeners": [{**ASKED, "address": "unix:a.sock", "socket_mode": "0660"}], "clusters": {}},
    ),
    Case(
        "everybody may answer the proxy", "socket-directory-open", "listeners[0].address",
        {"listeners": [{**ASKED, "address": "unix:shared/a.sock"}], "clusters": {}},
        {"listeners": [{**ASKED, "address": "unix:readable/a.sock"}], "clusters": {}},
    ),
    Case(
        "another path for a proxy that only asks", "forwarding-unused", "routes[0].rewrite",
        {"listeners": [ASKED], "clusters": {}, **route(prefix="/api", rewrite="/v2", retry={"attempts": 1})},
        {"listeners": [ASKED, {"address": "127.0.0.1:2"}], **route(prefix="/api", rewrite="/v2", retry={"attempts": 1})},
    ),
    Case(
        "clusters where nothing is forwarded", "forwarding-unused", "clusters",
        {"listeners": [ASKED]}, {"listeners": [ASKED, {"address": "127.0.0.1:2"}]},
    ),
    # --- the service -------------------------------------------------------------------------------------------------------------
    Case(
        "tokens in the clear", "listener-plain", "listeners[0]",
        {"listeners": [{"address": ":8080"}]}, {"listeners": [{"address": ":8443", "tls": TLS}]},
    ),
    Case(
        "a TLS key that everybody may read", "secret-open", "listeners[0].tls.private_key",
        {"listeners": [{"address": ":8443", "tls": {"certificate": "cert.pem", "private_key": "open.pem"}}]},
        {"listeners": [{"address": ":8443", "tls": TLS}]},
    ),
    Case(
        "a chain in no order", "tls-certificate", "listeners[0].tls.certificate",
        {"listeners": [{"address": ":8443", "tls": {"certificate": "chain.pem", "private_key": "key.pem"}}]},
        {"listeners": [{"address": ":8443", "tls": TLS}]},
    ),
    Case(
        "backends that nobody verified", "backend-unverified", "clusters.main.tls.verify",
        {"clusters.main.endpoints": [SECURE], "clusters.main.tls": {"verify": False}}, {"clusters.main.endpoints": [SECURE]},
    ),
    Case(
        "a client key for endpoints that everybody may read", "secret-open", "clusters.main.tls.private_key",
        {"clusters.main.endpoints": [SECURE], "clusters.main.tls": {"certificate": "cert.pem", "private_key": "open.pem"}},
        {"clusters.main.endpoints": [SECURE], "clusters.main.tls": TLS},
    ),
    Case(
        "a client chain in no order", "tls-certificate", "clusters.main.tls.certificate",
        {"clusters.main.endpoints": [SECURE], "clusters.main.tls": {"certificate": "chain.pem", "private_key": "key.pem"}},
        {"clusters.main.endpoints": [SECURE], "clusters.main.tls": TLS},
    ),
    Case(
        "authorities that everybody may write", "authority-file-writable", "clusters.main.tls.ca",
        {"clusters.main.endpoints": [SECURE], "clusters.main.tls": {"ca": "writable.pem"}},
        {"clusters.main.endpoints": [SECURE], "clusters.main.tls": {"ca": "cert.pem"}},
    ),
    Case(
        "so requests would loop", "proxy-loop", "clusters.main.endpoints[0].address",
        {"clusters.main.endpoints": [{"address": "127.0.0.1:8080"}]}, {},
    ),
    # --- doors and files -------------------------------------------------------------------------------------------------------
    Case("the admin door for everybody", "admin-exposed", "admin.address", {"admin": {"address": "0.0.0.0:9900"}}, {"admin": ADMIN}),
    Case(
        "all of the admin door for other machines", "admin-exposed", "admin.address", {"admin": {"address": ":9900", "remote_access": "full"}},
        {"admin": {"address": ":9900", "remote_access": "metrics"}},
    ),
    Case("two doors, one address", "address-twice", "admin.address", {"admin": {"address": "127.0.0.1:8080"}}, {"admin": ADMIN}),
    Case(
        "a log over the keys", "log-over-file", "access_log.path",
        {"access_log": {"path": "jwks.json"}}, {"access_log": {"path": "access.log"}},
    ),
    Case("a log over the revocations", "log-over-file", "access_log.path", {**REVOCATION, "access_log": {"path": "revoked.jsonl"}}, REVOCATION),
    Case(
        "a log that goes nowhere", "access-log", "access_log.path",
        {"access_log": {"path": "nowhere/access.log"}}, {"access_log": {"path": "-"}},
    ),
    Case("state below a file", "unreadable", "state_directory", {"state_directory": "jwks.json/state"}, {"state_directory": "state"}),
    Case("state in a file", "state-directory", "state_directory", {"state_directory": "jwks.json"}, {"state_directory": "state"}),
    Case(
        "revocations from a device", "unreadable", "revocation.file",
        {"issuers.main.max_lifetime": "1h", "revocation": {"file": "/dev/zero"}}, REVOCATION,
    ),
    Case("state that others write", "state-directory", "state_directory", {"state_directory": "shared"}, {"state_directory": "state"}),
    Case("state that others read", "state-directory-open", "state_directory", {"state_directory": "readable"}, {"state_directory": "state"}),
    Case("state in no directory", "state-directory", "state_directory", {"state_directory": "no/where"}, {"state_directory": "new"}),
    Case(
        "revocations forgotten", "revocation-forgotten", "revocation",
        {**REVOCATION, "admin": ADMIN}, {**REVOCATION, "admin": ADMIN, "state_directory": "state"},
    ),
    Case("tokens outlive their revocation", "revocation-without-lifetime", "issuers.main", {"revocation": {"file": "revoked.jsonl"}}, REVOCATION),
    Case(
        "revocations that everybody writes", "revocation-file-writable", "revocation.file",
        {"issuers.main.max_lifetime": "1h", "revocation": {"file": "writable.jsonl"}}, REVOCATION,
    ),
    Case(
        "endpoints that nobody can use", "endpoints-file", "clusters.main.endpoints_file",
        {"clusters.main.endpoints_file": "broken.yaml"}, {"clusters.main.endpoints_file": "endpoints.yaml"},
    ),
    Case(
        "no revocations at all", "unreadable", "revocation.file",
        {"issuers.main.max_lifetime": "1h", "revocation": {"file": "none.jsonl"}}, REVOCATION,
    ),
    # --- left out or said twice ------------------------------------------------------------------------------------------------
    Case("no audience", "inconsistent", "issuers.main", {"issuers.main.audiences": ...}, {}),
    Case("no issuer", "inconsistent", "issuers.main", {"issuers.main.issuer": ...}, {}),
    Case("no keys", "inconsistent", "issuers.main", {"issuers.main.jwks_file": ...}, {}),
    Case(
        "TLS with nothing below it", "invalid", "listeners[0].tls",
        {"listeners": [{"address": ":8443", "tls": None}]}, {"listeners": [{"address": ":8443", "tls": TLS}]},
    ),
    Case(
        "a public route with a rule", "invalid", "routes[0].rules",
        opened({"path": "/a", "rules": [{"claim": "a", "equals": 1}]}, PROTECTED), opened({"path": "/a"}, PROTECTED),
    ),
    Case(
        "two routes for one path", "invalid", "routes[1]",
        opened({"path": "/a"}, {"name": "b", "path": "/a"}), opened({"path": "/a"}, {"name": "b", "path": "/b"}),
    ),
    Case("a route of nobody", "invalid", "routes[0].require.issuer", route(require={"issuer": "mian"}), route(require={"issuer": "main"})),
    Case(
        "a header that speaks for the balancer", "invalid", "claim_to_headers[0].header",
        {"claim_to_headers": [{"claim": "sub", "header": "X-Forwarded-User"}]}, {"claim_to_headers": [{"claim": "sub", "header": "X-User"}]},
    ),
]  # fmt: skip
