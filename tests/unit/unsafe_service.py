"""Unsafe configurations of everything but issuers: routes, rules, headers, the service, its doors and files."""

from typing import Any

from tests.unit.unsafe_cases import Case, route

__all__ = ["CASES"]

TLS = {"certificate": "cert.pem", "private_key": "key.pem"}
PROTECTED = {"name": "all"}
OTHER = {"issuer": "https://other.example", "audiences": ["api"], "remote_jwks": {"uri": "https://other.example/jwks"}}
REVOCATION = {"issuers.main.max_lifetime": "1h", "revocation": {"file": "revoked.jsonl"}}
ADMIN = {"address": "127.0.0.1:9900"}


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    """One route with rules."""
    return route(rules=list(found))


def opened(public: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """An open route beside protected ones."""
    return {"routes": [{"name": "open", "public": True, **public}, *others]}


CASES = [
    # --- open routes -------------------------------------------------------------------------------------------------------------
    Case("no route asks for a token", "nothing-protected", "routes", opened({"path": "/healthz"}), opened({"path": "/healthz"}, PROTECTED)),
    Case(
        "what was forgotten is open", "public-everything", "routes[0].public",
        opened({}, {"name": "api", "prefix": "/api"}), opened({"path": "/index.html"}, {"name": "api", "prefix": "/api"}),
    ),
    Case(
        "everybody may write below", "public-any-method", "routes[0].public",
        opened({"prefix": "/static"}, PROTECTED), opened({"prefix": "/static", "methods": ["GET"]}, PROTECTED),
    ),
    Case(
        "open inside what is protected", "public-inside-protected", "routes[0]",
        opened({"path": "/api/status"}, {"name": "api", "prefix": "/api"}), opened({"path": "/status"}, {"name": "api", "prefix": "/api"}),
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
    Case(
        "a health check over a route", "health-over-route", "routes[0]",
        {**route(path="/up"), "listeners": [{"address": "127.0.0.1:8080", "health": {"path": "/up"}}]},
        {**route(path="/up/"), "listeners": [{"address": "127.0.0.1:8080", "health": {"path": "/up"}}]},
    ),
    # --- what routes let through -------------------------------------------------------------------------------------------------
    Case("only reported", "report-only", "routes[0].report_only", route(report_only=True), route(report_only=False)),
    Case(
        "without a token no rule", "optional-skips-rules", "routes[0].allow_missing",
        route(prefix="/a", allow_missing=True, scopes={"all": ["read"]}), route(prefix="/a", scopes={"all": ["read"]}),
    ),
    Case(
        "without a token no identity", "optional-identity", "routes[0].allow_missing",
        {**route(prefix="/a", allow_missing=True), "claim_to_headers": [{"claim": "sub", "header": "X-Sub"}]},
        route(prefix="/a", allow_missing=True),
    ),
    Case(
        "nobody needs a token", "optional-everything", "routes[0].allow_missing",
        route(allow_missing=True), route(prefix="/a", allow_missing=True),
    ),
    Case("streams outlive their token", "streams-outlive-token", "routes[0].end_streams", route(end_streams=False), route(end_streams=True)),
    Case("streams outlive it for an hour", "stream-grace-long", "routes[0].stream_grace", route(stream_grace="1h"), route(stream_grace="10s")),
    Case(
        "guessers are told", "expose-reason", "routes[0].refusals.expose_reason",
        route(refusals={"expose_reason": True}), route(refusals={"format": "json"}),
    ),
    Case(
        "no challenge", "challenge-hidden", "routes[0].refusals.statuses.401",
        route(refusals={"statuses": {"401": 404}}), route(refusals={"statuses": {"403": 404}}),
    ),
    Case(
        "a refusal that looks like a fault", "refusal-as-failure", "routes[0].refusals.statuses.403",
        route(refusals={"statuses": {"403": 500}}), route(refusals={"statuses": {"403": 404}}),
    ),
    Case(
        "a login page over http", "redirect-plain-http", "routes[0].refusals.redirect",
        route(refusals={"redirect": "http://login.example/"}), route(refusals={"redirect": "https://login.example/?to={url}"}),
    ),
    Case(
        "a document of another resource", "resource-elsewhere", "routes[0].resource.identifier",
        route(prefix="/mcp", resource={"identifier": "https://api.example/orders"}),
        route(prefix="/mcp", resource={"identifier": "https://api.example/mcp"}),
    ),
    Case(
        "a document of another host", "resource-elsewhere", "routes[0].resource.identifier",
        route(hosts=["*.b.example"], resource={"identifier": "https://a.example"}),
        route(hosts=["*.b.example"], resource={"identifier": "https://a.b.example"}),
    ),
    # --- rules ---------------------------------------------------------------------------------------------------------------------
    Case(
        "less than 1 and more than 2", "rule-never-holds", "routes[0].rules[1].more_than",
        rules({"claim": "level", "less_than": 1}, {"claim": "level", "more_than": 2}),
        rules({"claim": "level", "less_than": 2}, {"claim": "level", "more_than": 1}),
    ),
    Case(
        "two values at once", "rule-never-holds", "routes[0].rules[0].all[1].equals",
        rules({"all": [{"claim": "role", "equals": "a"}, {"claim": "role", "equals": "b"}]}),
        rules({"any": [{"claim": "role", "equals": "a"}, {"claim": "role", "equals": "b"}]}),
    ),
    Case(
        "a text and a list at once", "rule-never-holds", "routes[0].rules[1].contains",
        rules({"claim": "role", "equals": "a"}, {"claim": "role", "contains": "a"}),
        rules({"claim": "role", "equals": "a"}, {"claim": "roles", "contains": "a"}),
    ),
    Case(
        "there or not there", "rule-always-holds", "routes[0].rules[0].any",
        rules({"any": [{"claim": "a", "exists": True}, {"claim": "a", "exists": False}]}),
        rules({"any": [{"claim": "a", "exists": True}, {"claim": "b", "exists": False}]}),
    ),
    Case(
        "all of one", "rule-of-one", "routes[0].rules[0].all",
        rules({"all": [{"claim": "a", "equals": 1}]}), rules({"claim": "a", "equals": 1}),
    ),
    Case(
        "not of a not", "rule-twice-denied", "routes[0].rules[0].not",
        rules({"not": {"not": {"claim": "a", "equals": 1}}}), rules({"not": {"claim": "a", "equals": 1}}),
    ),
    Case(
        "an audience by a rule", "rule-on-audience", "routes[0].rules[0].equals",
        rules({"claim": "aud", "equals": "api"}), route(audiences=["api"]),
    ),
    Case(
        "a scope by a rule", "rule-on-scope", "routes[0].rules[0].contains",
        rules({"claim": "scope", "contains": "read"}), route(scopes={"any": ["read"]}),
    ),
    Case(
        "an issuer by a rule", "rule-on-issuer", "routes[0].rules[0].equals",
        rules({"claim": "iss", "equals": "https://issuer.example"}), route(require={"issuer": "main"}),
    ),
    Case(
        "a date in a rule", "rule-on-time", "routes[0].rules[0].more_than",
        rules({"claim": "iat", "more_than": 1_700_000_000}), {"issuers.main.max_age": "1d"},
    ),
    Case(
        "half a word", "rule-prefix-open", "routes[0].rules[0].prefix",
        rules({"claim": "role", "prefix": "admin"}), rules({"claim": "role", "prefix": "admin-"}),
    ),
    Case(
        "an address nobody checked", "email-unverified", "routes[0].rules[0].equals",
        rules({"claim": "email", "equals": "root@corp.example"}),
        rules({"claim": "email", "equals": "root@corp.example"}, {"claim": "email_verified", "equals": True}),
    ),
    # --- what endpoints are told, and what is believed -------------------------------------------------------------------------
    Case(
        "two people with one sub", "identity-without-issuer", "claim_to_headers[0]",
        {"issuers.other": OTHER, "claim_to_headers": [{"claim": "sub", "header": "X-Sub"}]},
        {"issuers.other": OTHER, "claim_to_headers": [{"claim": "sub", "header": "X-Sub"}, {"claim": "iss", "header": "X-Iss"}]},
    ),
    Case(
        "the same twice", "payload-with-token", "claim_to_headers[0].payload",
        {"claim_to_headers": [{"payload": True, "header": "X-All"}]},
        {"forward_token": False, "claim_to_headers": [{"payload": True, "header": "X-All"}]},
    ),
    Case(
        "heads that endpoints refuse", "identity-limit-large", "limits.max_identity_headers",
        {"limits": {"max_identity_headers": "64KiB"}}, {"limits": {"max_identity_headers": "16KiB"}},
    ),
    Case("names that fold", "header-names-allow", "header_names", {"header_names": "allow"}, {"header_names": "reject"}),
    Case(
        "everybody is a proxy", "trust-everyone", "trusted_proxies[1]",
        {"trusted_proxies": ["10.0.0.0/8", "::/0"]}, {"trusted_proxies": ["10.0.0.0/8"]},
    ),
    Case(
        "half of a provider is a proxy", "trust-wide", "trusted_proxies[0]",
        {"trusted_proxies": ["8.0.0.0/8"]}, {"trusted_proxies": ["203.0.113.7"]},
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
        "round in circles", "proxy-loop", "clusters.main.endpoints[0].address",
        {"clusters.main.endpoints": [{"address": "127.0.0.1:8080"}]}, {},
    ),
    Case(
        "more unused than any", "idle-over-total", "clusters.main.max_idle_connections",
        {"clusters.main.max_idle_connections": 300, "clusters.main.max_connections": 200}, {"clusters.main.max_idle_connections": 100},
    ),
    Case("an outage times five", "retries-many", "clusters.main.retries", {"clusters.main.retries": 4}, {"clusters.main.retries": 2}),
    Case("every token verified again", "cache-off", "token_cache", {"token_cache": {"max_entries": 0}}, {"token_cache": {"max_entries": 1000}}),
    Case("tokens that never fit", "token-limit-small", "limits.max_token", {"limits": {"max_token": 512}}, {"limits": {"max_token": "2KiB"}}),
    Case(
        "large heads before a token", "head-limit-large", "limits.max_request_head",
        {"limits": {"max_request_head": "128KiB"}}, {"limits": {"max_request_head": "16KiB"}},
    ),
    Case(
        "lines longer than heads", "line-over-head", "limits.max_request_line",
        {"limits": {"max_request_line": "64KiB"}}, {"limits": {"max_request_line": "16KiB"}},
    ),
    Case(
        "anybody can make thousands wait", "waiting-many", "limits.max_waiting",
        {"limits": {"max_waiting": 50_000}}, {"limits": {"max_waiting": 1000}},
    ),
    Case("slow heads", "head-timeout-long", "timeouts.request_head", {"timeouts": {"request_head": "61s"}}, {"timeouts": {"request_head": "5s"}}),
    Case(
        "slow handshakes", "handshake-timeout-long", "timeouts.tls_handshake",
        {"timeouts": {"tls_handshake": "5m"}}, {"timeouts": {"tls_handshake": "5s"}},
    ),
    Case("idle for an hour", "keep-alive-long", "timeouts.keep_alive", {"timeouts": {"keep_alive": "1h"}}, {"timeouts": {"keep_alive": "2m"}}),
    Case(
        "silent for a day", "stream-idle-long", "timeouts.stream_idle",
        {"timeouts": {"stream_idle": "1d"}}, {"timeouts": {"stream_idle": "1h"}},
    ),
    Case("cut at the end", "drain-none", "timeouts.drain", {"timeouts": {"drain": "0s"}}, {"timeouts": {"drain": "5s"}}),
    # --- doors and files -------------------------------------------------------------------------------------------------------
    Case("the admin door for everybody", "admin-exposed", "admin.address", {"admin": {"address": "0.0.0.0:9900"}}, {"admin": ADMIN}),
    Case(
        "everybody revokes", "revocation-exposed", "admin.address",
        {**REVOCATION, "admin": {"address": ":9900"}, "state_directory": "state"},
        {**REVOCATION, "admin": ADMIN, "state_directory": "state"},
        {"admin-exposed"},
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
    Case("state that passes", "state-directory-passing", "state_directory", {"state_directory": "/dev/shm/lbjwt"}, {"state_directory": "state"}),
    Case("state that others write", "state-directory", "state_directory", {"state_directory": "shared"}, {"state_directory": "state"}),
    Case("state that others read", "state-directory-open", "state_directory", {"state_directory": "readable"}, {"state_directory": "state"}),
    Case("state in no directory", "state-directory", "state_directory", {"state_directory": "no/where"}, {"state_directory": "new"}),
    Case("nothing to revoke with", "revocation-unreachable", "revocation", {"issuers.main.max_lifetime": "1h", "revocation": {}}, REVOCATION),
    Case(
        "revocations forgotten", "revocation-forgotten", "revocation",
        {**REVOCATION, "admin": ADMIN}, {**REVOCATION, "admin": ADMIN, "state_directory": "state"},
    ),
    Case(
        "few revocations", "revocation-limit-small", "revocation.max_entries",
        {"issuers.main.max_lifetime": "1h", "revocation": {"file": "revoked.jsonl", "max_entries": 10}}, REVOCATION,
    ),
    Case("tokens outlive their revocation", "revocation-without-lifetime", "issuers.main", {"revocation": {"file": "revoked.jsonl"}}, REVOCATION),
    Case(
        "revocations that everybody writes", "revocation-file-writable", "revocation.file",
        {"issuers.main.max_lifetime": "1h", "revocation": {"file": "writable.jsonl"}}, REVOCATION,
    ),
    Case(
        "no revocations at all", "unreadable", "revocation.file",
        {"issuers.main.max_lifetime": "1h", "revocation": {"file": "none.jsonl"}}, REVOCATION,
    ),
    Case(
        "an office shut out", "fail-limit-small", "fail_limit.failures",
        {"fail_limit": {"failures": 3}, "trusted_proxies": ["10.0.0.0/8"]}, {"fail_limit": {"failures": 100}, "trusted_proxies": ["10.0.0.0/8"]},
    ),
    Case(
        "all shut out for one", "fail-limit-one-address", "fail_limit",
        {"fail_limit": {"failures": 100}}, {"fail_limit": {"failures": 100}, "trusted_proxies": ["127.0.0.0/8"]},
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
