"""
A corpus of broken policies: one good file with several issuers, routes and rules, and for each entry one change that breaks it.

A change is (old text, new text); ``^`` in the new text marks where the problem must be reported.
"""

from pathlib import Path

import pytest
from pydantic import ValidationError

from lbjwt.config.issuer import Issuer
from lbjwt.config.load import examine_text
from tests.unit.broken_files import assert_told

GOOD = """\
listeners: [{address: 127.0.0.1:8080}]
issuers:
  users:
    issuer: https://login.example/{tenant}/v2.0
    tenants: {names: [acme, globex]}
    audiences: [api]
    discovery: {}
    from_headers: [{name: Authorization}]
    from_cookies: [{name: __Host-token}]
  devices:
    issuer: https://devices.example
    audiences: [devices]
    from_headers: [{name: X-Device, scheme: ""}]
    jwks: {keys: [{kty: OKP, crv: Ed25519, x: AAAA}]}
  batch:
    issuer: https://batch.example
    audiences: [api]
    secret_env: BATCH_SECRET
    algorithms: [HS256]
clusters:
  main:
    endpoints: [{address: 127.0.0.1:9001}]
routes:
  - name: health
    path: /healthz
    public: true
  - name: orders
    hosts: [api.example, "*.api.example"]
    prefix: /orders
    methods: [GET, POST]
    require: {any_of: [users, batch]}
    scopes: {all: [read]}
    rules:
      - {name: staff, claim: [realm, roles], contains: clerk}
      - {any: [{claim: a, equals: 1}, {not: {claim: b, exists: true}}]}
    stream_grace: 5s
    refusals: {format: json}
    resource: {identifier: https://api.example/orders, authorization_servers: [https://login.example]}
  - name: both
    prefix: /both
    require: {all_of: [users, devices]}
claim_to_headers:
  - {claim: sub, header: X-Sub, issuer: users}
  - {claim: serial, header: X-Serial, issuer: devices}
revocation: {}
fail_limit: {failures: 100}
state_directory: state
"""

ROUTE = "  - name: health\n    path: /healthz\n"

CORPUS: list[tuple[str, str, str, str]] = [
    # sections without anything below them
    ("revocation: {}", "^revocation:", "revocation", "has no value; write {} for the defaults"),
    ("discovery: {}", "^discovery:", "issuers.users.discovery", "has no value; write {}"),
    ("scopes: {all: [read]}", "^scopes: ~", "routes[1].scopes", "has no value"),
    ("fail_limit: {failures: 100}", "^fail_limit: {}", "fail_limit.failures", "is required"),
    # words of other programs
    ("revocation: {}", "^denylist: {}", "denylist", 'did you mean "revocation"?'),
    ("fail_limit:", "^rate_limit:", "rate_limit", 'did you mean "fail_limit"?'),
    ("discovery: {}", "^oidc: {}", "issuers.users.oidc", 'did you mean "discovery"?'),
    ("contains: clerk", "^includes: clerk", "routes[1].rules[0].includes", 'did you mean "contains"?'),
    ("equals: 1", "^eq: 1", "routes[1].rules[1].any[0].eq", 'did you mean "equals"?'),
    ("{not: {claim: b, exists: true}}", "{not: {claim: b, ^exist: true}}", "routes[1].rules[1].any[1].not.exist", 'did you mean "exists"?'),
    ("{not: {claim: b", "{^none: {claim: b", "routes[1].rules[1].any[1].none", 'did you mean "not"?'),
    ("{not: {claim: b", "{^not_: {claim: b", "routes[1].rules[1].any[1].not_", 'did you mean "not"?'),
    ("realm, roles], contains: clerk}", "realm, roles], contains: clerk, ^path: /}", "routes[1].rules[0].path", "it belongs in "),
    # what other programs have, and lbjwt leaves out
    ("stream_grace: 5s", "^allow_missing_or_failed: true", "routes[1].allow_missing_or_failed", "use report_only on a route"),
    ("stream_grace: 5s", "^allow-missing-or-failed: {}", "routes[1].allow-missing-or-failed", "backends are told in X-Jwt-Would-Refuse"),
    ("stream_grace: 5s", "^mode: permissive", "routes[1].mode", "no setting that silently lets bad tokens pass"),
    ("{any_of: [users, batch]}", "{any_of: [users], ^permissive: true}", "routes[1].require.permissive", "use report_only"),
    ("audiences: [devices]", "audiences: [devices]\n    ^skip_verification: true", "issuers.devices.skip_verification", "use report_only"),
    ("audiences: [devices]", "audiences: [devices]\n    ^from_body: [{name: t}]", "issuers.devices.from_body", "no token from a request body"),
    ("audiences: [devices]", "audiences: [devices]\n    ^from_form: access_token", "issuers.devices.from_form", "send the token in Authorization"),
    # the path that endpoints get
    ("prefix: /both", "prefix: /both\n    ^rewrite: both", "routes[2].rewrite.path", "must begin with /"),
    ("prefix: /both", "prefix: /both\n    ^rewrite: /a/../b", "routes[2].rewrite.path", 'write "/b"'),
    ("prefix: /both", 'prefix: /both\n    ^rewrite: "/t-{tenant}"', "routes[2].rewrite.path", "a claim must be a whole segment"),
    ("prefix: /both", "prefix: /both\n    ^rewrite: /a/", "routes[2].rewrite", 'did you mean "/a"?'),
    ("prefix: /both", "prefix: /both\n    rewrite: ^7", "routes[2].rewrite", "must be a mapping of keys to values, such as {path: /v2/orders}"),
    ("prefix: /both", "prefix: /both\n    ^rewrite:", "routes[2].rewrite", "has no value"),
    ("prefix: /both", 'prefix: /both\n    rewrite: {path: "/{a}", claims: {b: ^sub}}', "routes[2].rewrite.claims.b", "the path does not contain {b}"),
    ("prefix: /both", 'prefix: /both\n    rewrite: {path: "/{a}", claims: {a: ^[]}}', "routes[2].rewrite.claims.a", "1 to 8 names"),
    ("public: true", 'public: true\n    ^rewrite: "/{sub}"', "routes[0].rewrite", "with public, requests without a valid token pass"),
    ("stream_grace: 5s", 'allow_missing: true\n    ^rewrite: "/{sub}"', "routes[1].rewrite", "remove allow_missing, or write a path without claims"),
    ("stream_grace: 5s", 'report_only: true\n    ^rewrite: "/{sub}"', "routes[1].rewrite", "with report_only, requests"),
    # the access log
    ("state_directory: state", 'access_log: {path: "-", claims: [sub, ^sub]}', "access_log.claims[1]", "contains this claim already"),
    ("state_directory: state", 'access_log: {path: "-", claims: [[a, b], ^a]}', "access_log.claims[1]", "contains this claim already"),
    ("state_directory: state", 'access_log: {path: "-", claims: [sub], payload: ^true}', "access_log.payload", "remove claims or payload"),
    ("state_directory: state", "limits: {max_logged_claims: ^128KiB}", "limits.max_logged_claims", "from 64 to 64KiB"),
    # issuers and tenants
    ("tenants: {names: [acme, globex]}", "clock_skew: 1s", "issuers.users.issuer", "needs tenants"),
    ("issuer: https://devices.example", "issuer: ^https://devices.example\n    tenants: {names: [a]}", "issuers.devices.issuer", "need {tenant}"),
    ("{tenant}/v2.0", "{tenant}/{tenant}", "issuers.users.issuer", "exactly once"),
    ("issuer: https://devices.example", 'issuer: ^"{tenant}"\n    tenants: {kind: hex}', "issuers.devices.issuer", "not at its beginning"),
    ("{names: [acme, globex]}", "{names: ^[acme, acme]}", "issuers.users.tenants.names", "twice"),
    ("{names: [acme, globex]}", "{names: [acme, ^..]}", "issuers.users.tenants.names[1]", "a tenant must start with"),
    ("{names: [acme, globex]}", "{names: [acme, ^a/b]}", "issuers.users.tenants.names[1]", "a tenant must start with"),
    ("tenants: {names: [acme, globex]}", "^tenants: {}", "issuers.users.tenants", "give names or kind"),
    ("tenants: {names: [acme, globex]}", "^tenants: {names: [acme], kind: hex}", "issuers.users.tenants", "and not both"),
    ("tenants: {names: [acme, globex]}", "^tenants: {kind: uuid}", "issuers.users.tenants", "needs tenants.names"),
    ("{names: [acme, globex]}", "{names: [acme], ^max_tenants: 3}", "issuers.users.tenants.max_tenants", "has no effect with names"),
    ("{names: [acme, globex]}", "{kind: ^UUID}", "issuers.users.tenants.kind", 'did you mean "uuid"?'),
    (
        "https://batch.example\n    audiences: [api]", "^https://devices.example\n    audiences: [api, devices]",
        "issuers.batch.issuer", "devices has the same issuer",
    ),
    ("https://devices.example", "^https://login.example/acme/v2.0", "issuers.devices.issuer", "users has the same issuer"),
    ("issuer: https://batch.example", "any_issuer: true", "issuers.batch.any_issuer", "any_issuer works with a single issuer only"),
    ("issuer: https://devices.example", "any_issuer: true\n    ^tenants: {kind: hex}", "issuers.devices.tenants", "tenants need {tenant}"),
    # key sources
    ("discovery: {}", "discovery: {}\n    jwks_file: ^k", "issuers.users.jwks_file", "here are discovery and jwks_file"),
    ("issuer: https://login.example/", "issuer: ^http://login.example/", "issuers.users.issuer", "plain http"),
    ("issuer: https://login.example/", "issuer: ^login.example/", "issuers.users.issuer", "cannot use this issuer: must be an https URL"),
    ("issuer: https://login.example/{tenant}/v2.0", "issuer: ^https://login.example/{tenant}?v=2", "issuers.users.issuer", "without a query"),
    ("issuer: https://login.example/", "issuer: ^https://169.254.169.254/", "issuers.users.issuer", "link-local"),
    ("{kty: OKP, crv: Ed25519, x: AAAA}", "{kty: OKP, crv: Ed25519, x: AAAA, ^d: BBBB}", "issuers.devices.jwks.keys[0].d", "secret part"),
    ("{kty: OKP, crv: Ed25519, x: AAAA}", "{kty: oct, ^k: AAAA}", "issuers.devices.jwks.keys[0].k", "secret part"),
    ("jwks: {keys: [{kty: OKP, crv: Ed25519, x: AAAA}]}", "jwks: ^here", "issuers.devices.jwks", "must be a mapping"),
    ("jwks: {keys: [{kty: OKP, crv: Ed25519, x: AAAA}]}", 'pem: ^"-----BEGIN PRIVATE KEY-----"', "issuers.devices.pem", "is a private key"),
    ("secret_env: BATCH_SECRET", "secret_env: ^a-b", "issuers.batch.secret_env", "the name of an environment variable"),
    ("    secret_env: BATCH_SECRET\n    algorithms: [HS256]", "    secret_env: BATCH_SECRET", "issuers.batch", "secret_env needs algorithms"),
    ("algorithms: [HS256]", "algorithms: ^[HS256, ES256K]", "issuers.batch.algorithms", "with secret_env, every algorithm"),
    ("discovery: {}", "discovery: {min_refresh: ^6m}", "issuers.users.discovery.min_refresh", "longer than refresh_interval"),
    ("discovery: {}", "discovery: {max_refresh: ^4m}", "issuers.users.discovery.max_refresh", "shorter than refresh_interval"),
    ("discovery: {}", "discovery: {max_stale: ^4m}", "issuers.users.discovery.max_stale", "shorter than refresh_interval"),
    ("discovery: {}", "discovery: {max_stale: ^0s}", "issuers.users.discovery.max_stale", "from 1s to 7d"),
    ("discovery: {}", "discovery: {^client_key: k}", "issuers.users.discovery.client_key", "give both"),
    ("discovery: {}", "discovery: {^client_certificate: c}", "issuers.users.discovery.client_certificate", "give both"),
    ("discovery: {}", "remote_jwks: {uri: ^https://login.example/keys?a#b}", "issuers.users.remote_jwks.uri", "fragment"),
    # what an issuer asks
    ("audiences: [devices]", "any_audience: ^true\n    access_token_profile: true", "issuers.devices.any_audience", "access_token_profile requires"),
    ("audiences: [devices]", "audiences: [devices]\n    access_token_profile: true\n    typ: ^JWT", "issuers.devices.typ", "already sets typ"),
    ("audiences: [devices]", "audiences: [devices]\n    subjects: ^[a, a]", "issuers.devices.subjects", "twice"),
    # token places
    ("{name: Authorization}", "{name: ^Host}", "issuers.users.from_headers[0].name", "fixed meaning"),
    ("{name: Authorization}", "{name: ^X-Forwarded-Access-Token}", "issuers.users.from_headers[0].name", "fixed meaning"),
    ("{name: Authorization}", "{name: ^Cookie}", "issuers.users.from_headers[0].name", "from_cookies"),
    ("{name: Authorization}", "{name: ^X_Token}", "issuers.users.from_headers[0].name", "letters, digits and inner hyphens"),
    ("[{name: Authorization}]", "[{name: A}, {name: ^a}]", "issuers.users.from_headers[1].name", "twice"),
    ("[{name: Authorization}]", '[{name: A}, {name: ^a, scheme: ""}]', "issuers.users.from_headers[1].name", "with a scheme and without"),
    ("[{name: __Host-token}]", "[{name: a}, {name: ^a}]", "issuers.users.from_cookies[1].name", "twice"),
    ('from_headers: [{name: X-Device, scheme: ""}]', "from_headers: ^[]", "issuers.devices.from_headers", "no token location is left"),
    ("name: __Host-token", 'name: ^"a;b"', "issuers.users.from_cookies[0].name", "a cookie name"),
    # routes: which requests
    ("name: health", "name: both", "routes[2].name", "two routes have the name both; rename one"),
    ("path: /healthz", "path: ^healthz", "routes[0].path", "begin with /"),
    ("path: /healthz", "path: ^/a?b", "routes[0].path", "begin with /"),
    ("path: /healthz", "path: ^/a;b", "routes[0].path", "servers do not agree"),
    ("path: /healthz", "path: ^/a%2fb", "routes[0].path", "path-encoded-slash"),
    ("path: /healthz", "path: ^/a%2Fb", "routes[0].path", "path-encoded-slash"),
    ("path: /healthz", "path: ^/a%3Bb", "routes[0].path", "servers do not agree"),
    ("path: /healthz", "path: ^/a%41", "routes[0].path", 'write "/aA"'),
    ("path: /healthz", "path: ^/a/../b", "routes[0].path", "would never match"),
    ("path: /healthz", "path: ^/a//b", "routes[0].path", "would never match"),
    ("path: /healthz", "path: ^/a./b", "routes[0].path", "at the end of a segment"),
    ("path: /healthz", "path: ^/a%20", "routes[0].path", "at the end of a segment"),
    ("path: /healthz", "prefix: ^/a/", "routes[0].prefix", 'did you mean "/a"?'),
    ("path: /healthz", "path: /healthz\n    ^prefix: /a", "routes[0].prefix", "not both"),
    ("hosts: [api.example,", "hosts: [^api.example:443,", "routes[1].hosts[0]", "without a port"),
    ("hosts: [api.example,", "hosts: [^api.example.,", "routes[1].hosts[0]", "must be a host name"),
    ("hosts: [api.example,", 'hosts: [^"*",', "routes[1].hosts[0]", "must be a host name"),
    ("hosts: [api.example,", 'hosts: [^"a*.example",', "routes[1].hosts[0]", "must be a host name"),
    ("hosts: [api.example,", 'hosts: [^"[::1]",', "routes[1].hosts[0]", "must be a host name"),
    ('hosts: [api.example, "*.api.example"]', "hosts: ^[api.example, API.example]", "routes[1].hosts", "twice"),
    ("methods: [GET, POST]", "methods: [GET, ^get]", "routes[1].methods[1]", 'did you mean "GET"?'),
    ("methods: [GET, POST]", "methods: [^CONNECT]", "routes[1].methods[0]", "must be one of"),
    ("methods: [GET, POST]", "methods: ^[GET, GET]", "routes[1].methods", "twice"),
    # routes: the policy
    ("public: true", "public: true\n    ^require: {issuer: users}", "routes[0].require", "has no effect on a public route"),
    ("public: true", "public: true\n    ^scopes: {any: [a]}", "routes[0].scopes", "has no effect on a public route"),
    ("public: true", "public: true\n    ^realm: r", "routes[0].realm", "has no effect on a public route"),
    ("prefix: /orders", "prefix: /orders\n    realm: ^'a\"b'", "routes[1].realm", "printable ASCII, without quotes and backslashes"),
    ("scopes: {all: [read]}", "scopes: {all: [read]}\n    realm: ^\"\"", "routes[1].realm", "1 to 128 characters"),
    ("public: true", "public: true\n    ^report_only: true", "routes[0].report_only", "has no effect on a public route"),
    ("any_of: [users, batch]", "any_of: [users, ^bitch]", "routes[1].require.any_of[1]", "there is no issuer with the label bitch"),
    ("{any_of: [users, batch]}", "{issuer: ^nobody}", "routes[1].require.issuer", "there is no issuer with the label nobody"),
    ("all_of: [users, devices]", "all_of: [users, ^batch]", "routes[2].require.all_of[1]", "both expected in the header authorization"),
    ("all_of: [users, devices]", "all_of: ^[users]", "routes[2].require.all_of", "at least 2"),
    ("{any_of: [users, batch]}", "{any_of: ^[users, users]}", "routes[1].require.any_of", "twice"),
    ("require: {any_of: [users, batch]}", "^require: {any_of: [users], issuer: users}", "routes[1].require", "give one of"),
    ("require: {any_of: [users, batch]}", "^require: {}", "routes[1].require", "give one of"),
    ("prefix: /both", "prefix: /both\n    allow_missing: ^true", "routes[2].allow_missing", "cannot be used with all_of"),
    ("stream_grace: 5s", "end_streams: false\n    ^stream_grace: 5s", "routes[1].stream_grace", "has no effect"),
    # rules
    ("contains: clerk}", "contains: clerk, equals: 1}", "routes[1].rules[0]", "are equals and contains"),
    (", contains: clerk}", "}", "routes[1].rules[0]", "exactly one operator, but here is none"),
    ("- {any: [{claim: a, equals: 1},", "- {claim: a, any: [{claim: a, equals: 1},", "routes[1].rules[1]", "are claim and any"),
    ("- {any: [{claim: a, equals: 1},", "- {^equals: 1, any: [{claim: a, equals: 1},", "routes[1].rules[1].equals", "equals needs claim"),
    ("{not: {claim: b, exists: true}}", "{^not: {}}", "routes[1].rules[1].any[1].not", "here is none"),
    ("claim: a, equals: 1", "claim: a, equals: ^[1]", "routes[1].rules[1].any[0].equals", "text, a number, true or false"),
    ("claim: a, equals: 1", "claim: a, equals: ^9007199254740993", "routes[1].rules[1].any[0].equals", "2^53"),
    ("claim: a, equals: 1", "claim: a, equals: ^.nan", "routes[1].rules[1].any[0].equals", "2^53"),
    ("claim: a, equals: 1", 'claim: a, less_than: ^"1"', "routes[1].rules[1].any[0].less_than", "must be a number, without quotes"),
    ("claim: a, equals: 1", "claim: a, at_least: ^true", "routes[1].rules[1].any[0].at_least", "must be a number"),
    ("claim: a, equals: 1", 'claim: a, one_of: ^[1, "1"]', "routes[1].rules[1].any[0].one_of", "must have the same type"),
    ("claim: a, equals: 1", "claim: a, one_of: ^[1, true]", "routes[1].rules[1].any[0].one_of", "must have the same type"),
    ("claim: a, equals: 1", "claim: a, one_of: ^[1, 1.0]", "routes[1].rules[1].any[0].one_of", "twice"),
    ("claim: a, equals: 1", "claim: a, one_of: [1, ^{}]", "routes[1].rules[1].any[0].one_of[1]", "text, a number, true or false"),
    ("claim: a, equals: 1", 'claim: a, prefix: ^""', "routes[1].rules[1].any[0].prefix", "must not be empty"),
    ("claim: a, equals: 1", "claim: ^[], equals: 1", "routes[1].rules[1].any[0].claim", "1 to "),
    ("claim: a, equals: 1", "claim: [a, ^1], equals: 1", "routes[1].rules[1].any[0].claim[1]", "must be text"),
    ("claim: a, equals: 1", 'claim: ^"", equals: 1', "routes[1].rules[1].any[0].claim", "1 to 256"),
    ("- {any: [{claim: a", "- {name: ^staff, any: [{claim: a", "routes[1].rules[1].name", "two rules of the route have the name staff; rename one"),
    ("any: [{claim: a, equals: 1}", "any: [{claim: a, equals: 1, ^report_only: true}", "routes[1].rules[1].any[0].report_only", "it belongs in"),
    # refusals and metadata
    ("{format: json}", "{statuses: {^404: 403}}", "routes[1].refusals.statuses.404", "never refuses with status 404"),
    ("{format: json}", "{statuses: {401: ^200}}", "routes[1].refusals.statuses.401", "4xx or 5xx"),
    ("{format: json}", "{statuses: {401: ^407}}", "routes[1].refusals.statuses.401", "which need a further header"),
    ("{format: json}", "{statuses: {503: ^401}}", "routes[1].refusals.statuses.503", "that was not verified"),
    ("{format: json}", "{statuses: {^none: 401}}", "routes[1].refusals.statuses.none", "whole number"),
    ("refusals: {format: json}", 'refusals: {redirect: ^"https://{url}/"}', "routes[1].refusals.redirect", "must be behind a ? or #"),
    ("refusals: {format: json}", 'refusals: {redirect: ^"https://a/?{url}{url}"}', "routes[1].refusals.redirect", "once"),
    ("refusals: {format: json}", 'refusals: {redirect: ^"//evil.example/"}', "routes[1].refusals.redirect", "https URL"),
    ("refusals: {format: json}", 'refusals: {redirect: ^"javascript:x"}', "routes[1].refusals.redirect", "https URL"),
    ("identifier: https", "identifier: ^http", "routes[1].resource.identifier", "plain http"),
    ("https://api.example/orders", "^https://api.example/orders?a", "routes[1].resource.identifier", "query"),
    *(
        ("https://api.example/orders", f'^"https://api.example{path}"', "routes[1].resource.identifier", part)
        for path, part in (
            ("/a/../b", 'so this would never match; write "/b"'),
            ("/a/./b", 'write "/a/b"'),
            ("/%41", 'write "/A"'),
            ("//a", 'write "/a"'),
            ("/..", 'write "/"'),
            ("/a/%2e%2e/b", 'write "/b"'),
            ("/a%2Fb", "refuses requests with this path (path-encoded-slash)"),
            ("/a%zz", "write spaces and other characters as %XX"),
            ("/a%00", "refuses requests with this path (path-encoded-control)"),
        )
    ),
    ("authorization_servers: [https:", "authorization_servers: [^ftp:", "routes[1].resource.authorization_servers[0]", "https URL"),
    (
        "name: both\n",
        "name: both\n    resource: {identifier: ^https://other.example/orders, authorization_servers: [https://login.example]}\n",
        "routes[2].resource.identifier",
        "orders has a different document",
    ),
    ("prefix: /both", "prefix: /orders\n    hosts: [API.example]\n    methods: [HEAD]", "routes[2]", "both and orders match the same requests"),
    (
        "path: /healthz",
        "path: ^/.well-known/oauth-protected-resource/orders",
        "routes[0].path",
        "lbjwt itself answers this path with the metadata of orders",
    ),
    ("prefix: /both", "path: /healthz", "routes[2]", "both and health match the same requests"),
    # claims to headers
    ("header: X-Sub, issuer: users", "header: X-Sub, issuer: ^user", "claim_to_headers[0].issuer", "there is no issuer with the label user"),
    ("header: X-Sub, issuer: users}", "header: X-Sub}", "claim_to_headers[0]", "set the issuer whose token"),
    ("header: X-Serial", "header: ^x-sub", "claim_to_headers[1].header", "the same header name"),
    ("header: X-Sub", "header: ^X-Jwt-Would-Refuse", "claim_to_headers[0].header", "is set by the balancer"),
    ("header: X-Sub", "header: ^X-Device", "claim_to_headers[0].header", "X-Device is a token location"),
    ("{claim: sub, header: X-Sub", "{claim: sub, payload: true, header: X-Sub", "claim_to_headers[0]", "not both"),
    ("{claim: sub, header: X-Sub", "{payload: true, style: ^json, header: X-Sub", "claim_to_headers[0].style", "always base64url"),
    # limits
    ("fail_limit: {failures: 100}", "fail_limit: {failures: ^0}", "fail_limit.failures", "at least 1"),
    ("revocation: {}", "revocation: {max_entries: ^0}", "revocation.max_entries", "at least 1"),
    ("revocation: {}", "limits: {max_identity_header: ^16KiB}", "limits.max_identity_header", "larger than max_identity_headers"),
]  # fmt: skip


def test_the_good_policy_is_good():
    """Every entry of the corpus breaks a file that has no error itself."""
    examination = examine_text(GOOD, Path("/etc/lbjwt"))
    assert examination.problems == ()
    assert examination.configuration is not None


@pytest.mark.parametrize(("old", "new", "path", "part"), CORPUS)
def test_each_broken_policy_is_told_with_its_place(old: str, new: str, path: str, part: str):
    """One change gives one error, at its line and column, under its key path, with its sentence."""
    assert_told(GOOD, old, new, path, part)


def test_every_fault_of_a_kind_is_told_in_one_run():
    """A rule between sections that finds three faults tells three, each at its line."""
    text = GOOD.replace("{any_of: [users, batch]}", "{any_of: [a, b]}").replace("[users, devices]", "[users, c]")
    problems = examine_text(text, Path("/")).problems
    assert [problem.message for problem in problems] == [
        f"there is no issuer with the label {label}" for label in "abc"
    ]
    assert [problem.line for problem in problems] == [31, 31, 41]


def test_rules_nest_eight_deep_and_no_deeper():
    """Eight levels are more than anybody reads; the ninth is an error, and a hundred cost no more than one."""
    for depth, good in ((6, True), (7, False), (8, False)):  # below an `any`, above a claim
        rule = "{not: " * depth + "{claim: a, equals: 1}" + "}" * depth
        errors = examine_text(GOOD.replace("{claim: a, equals: 1}", rule), Path("/")).problems
        assert [problem.message for problem in errors] == (
            [] if good else ["rules can be nested at most 8 levels deep"]
        )
    rule = "{not: " * 100 + "{claim: a, equals: 1}" + "}" * 100
    assert (
        "nested more than 32 levels"
        in examine_text(GOOD.replace("{claim: a, equals: 1}", rule), Path("/")).problems[0].message
    )


def test_a_validation_error_repeats_no_input():
    """Who embeds lbjwt prints what pydantic says: a secret in the wrong place must not be in it."""
    with pytest.raises(ValidationError) as caught:
        Issuer.model_validate(
            {"issuer": "i", "audiences": ["a"], "secret_file": {"k": "S3cr3tCanary"}, "algorithms": ["S3cr3tCanary"]}
        )
    assert "S3cr3tCanary" not in str(caught.value)
    assert "secret_file" in str(caught.value)
