"""`lbjwt import` lets nothing through that the other product refuses: what lbjwt does not have closes routes, and hostile files are errors."""

from pathlib import Path as FilePath

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from lbjwt.cli import main
from lbjwt.imports.matching import Path, Request, Route, is_open, resolve
from tests.unit.test_imports import ALB, ENVOY, FORWARD, HAPROXY, SIGNED, TOKENS, VALIDATE


def imported(kind: str, text: str, directory: FilePath):
    """Standard output and standard error."""
    file = directory / "file"
    file.write_text(text)
    result = CliRunner().invoke(main, ["import", kind, str(file)])
    assert result.exit_code in (0, 1), result.output
    return result.stdout, result.stderr


def opens(text: str, path: str, host: str = "x.example", method: str = "GET") -> bool:
    """Whether a request without a token passes by the routes of a configuration."""
    routes = []
    for one in YAML(typ="safe").load(text).get("routes", []):
        place = Path(one.get("path") or one.get("prefix") or "/", "path" in one)
        routes += [Route(name, place, tuple(one.get("methods", ())), one) for name in one.get("hosts") or [""]]
    return is_open(resolve(routes, Request(host, path, method)))


PASS = "proxy_pass http://a;"
PUBLIC = f"location / {{ {PASS} }}"
JWT = "envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
PROVIDER = "p: {issuer: i, audiences: [a], local_jwks: {filename: /k}}"


def jwt(rules: str, providers: str = PROVIDER, name: str = "envoy.filters.http.jwt_authn", more: str = "") -> str:
    return f"{{name: {name}, typed_config: {{'@type': {JWT}, providers: {{{providers}}}, rules: [{rules}]{more}}}}}"


def envoy(routes: str, filters: str, *, hosts: str = "", level: str = "", chain: str = "") -> str:
    return (
        "static_resources: {listeners: [{address: {socket_address: {address: 127.0.0.1, port_value: 80}}, filter_chains: ["
        f"{{{chain} filters: [{{name: envoy.filters.network.http_connection_manager, typed_config: {{route_config: {{{level} "
        f"virtual_hosts: [{hosts} {{domains: ['*'], routes: [{routes}]}}]}}, http_filters: [{filters}]}}}}]}}]}}], clusters: [{{name: c}}]}}"
    )


def route(match: str, more: str = "") -> str:
    return f"{{match: {{{match}}}, route: {{cluster: c}}, {more}}}"


ALL = route("prefix: /")
NEEDED = "{match: {prefix: /}, requires: {provider_name: p}}"
OF_ROUTE = "typed_per_filter_config: {envoy.filters.http.jwt_authn: {requirement_name: r}}"
MAP = ", requirement_map: {r: {provider_name: p}}"
BY_REGEX = route("safe_regex: {regex: '/api/v[0-9]/.*'}", OF_ROUTE)
OTHER_HOST = f"{{domains: ['a.*'], routes: [{route('prefix: /', OF_ROUTE)}]}},"


@pytest.mark.parametrize(
    ("kind", "text", "refused", "passes"),
    [
        ("nginx", f"server {{ location ~* ^/admin {{ {TOKENS} {PASS} }} {PUBLIC} }}", ["/admin", "/admin/x"], []),
        ("nginx", f"server {{ {TOKENS} location / {{ auth_jwt off; {PASS} }} location ~ ^/api/v\\d {{ {PASS} }} }}", ["/api/v1"], ["/x"]),
        ("nginx", f"server {{ location /inner/ {{ internal; {PASS} }} {PUBLIC} }}", ["/inner/x"], ["/x"]),
        ("nginx", f"server {{ location '/my docs/' {{ {TOKENS} {PASS} }} {PUBLIC} }}", ["/my"], []),
        ("nginx", f"server {{ location /a/ {{ include /missing/auth.conf; {PASS} }} {PUBLIC} }}", ["/a/x"], ["/x"]),
        ("nginx", f"server {{ location /a/ {{ include /missing/*.conf; {PASS} }} {PUBLIC} }}", ["/a/x"], ["/x"]),
        ("nginx", f"server {{ location /a/ {{ include /missing/proxy_params; {PASS} }} {PUBLIC} }}", [], ["/a/x"]),
        ("nginx", f"server {{ location ~ ^/adm/.*x {{ return 403; }} {PUBLIC} }}", ["/adm/x"], ["/x"]),
        ("nginx", f"server {{ location /a/ {{ auth_ldap x; {PASS} }} {PUBLIC} }}", ["/a/x"], ["/x"]),
        ("nginx", f"server {{ location /a/ {{ access_by_lua_file x; {PASS} }} {PUBLIC} }}", ["/a/x"], ["/x"]),
        ("nginx", f"server {{ location /a/ {{ auth_jwt_enabled on; {PASS} }} {PUBLIC} }}", ["/a/x"], ["/x"]),
        ("nginx", f"server {{ location /a/ {{ if ($cookie_s = '') {{ return 302 /in; }} {PASS} }} {PUBLIC} }}", ["/a/x"], ["/x"]),
        ("nginx", f"server {{ if ($scheme = http) {{ return 301 https://$host; }} {PUBLIC} }}", [], ["/x"]),
        ("nginx", f"server {{ location / {{ if ($request_method = OPTIONS) {{ return 204; }} {PASS} }} }}", [], ["/x"]),
        ("envoy", envoy(ALL, jwt("{match: {prefix: /a/}}", more=", filter_state_rules: {name: n, requires: {}}")), ["/x"], ["/a/x"]),
        ("envoy", envoy(ALL, jwt(NEEDED, name="tokens")), ["/x"], []),
        ("envoy", envoy(ALL, "{name: some.filter, typed_config: {}}"), ["/x"], []),
        ("envoy", envoy(ALL, "{name: envoy.filters.http.compressor, typed_config: {}}"), [], ["/x"]),
        ("envoy", envoy(f"{BY_REGEX}, {ALL}", jwt("", more=MAP)), ["/api/v1"], ["/x"]),
        ("envoy", envoy(ALL, jwt("", more=MAP), level=f"{OF_ROUTE}, "), ["/x"], []),
        ("envoy", envoy(ALL, jwt("", more=MAP), hosts=OTHER_HOST), ["/x"], []),
        ("envoy", envoy(ALL, jwt("{match: {prefix: /a/, case_sensitive: false}, requires: {provider_name: p}}")), ["/a/x"], ["/b"]),
        ("envoy", envoy(ALL, "", chain="filter_chain_match: {source_prefix_ranges: [{address_prefix: 10.0.0.0}]},"), ["/x"], []),
        ("envoy", envoy(ALL, "{name: envoy.filters.http.rbac, typed_config: {matcher: {}}}"), ["/x"], []),
        ("haproxy", HAPROXY.format("", " http-request silent-drop unless { src 10.0.0.0/8 }\n"), ["/x"], []),
        ("haproxy", HAPROXY.format("", f" http-request deny if {{ path,word(1,/) admin }} !{{ {SIGNED} }}\n"), ["/admin/x"], []),
        ("haproxy", HAPROXY.format("", f" http-request deny if {{ path_beg // }} !{{ {SIGNED} }}\n"), ["/x"], []),
        ("haproxy", HAPROXY.format("", f" http-request deny if {{ hdr(host) -m sub x }} !{{ {SIGNED} }}\n"), ["/x"], []),
        ("haproxy", HAPROXY.format("", f" http-request deny if {{ hdr_end(host) x.example }} !{{ {SIGNED} }}\n"), ["/x"], []),
        ("haproxy", HAPROXY.format("", f" http-request redirect location /in unless {{ {SIGNED} }}\n"), ["/x"], []),
        ("haproxy", HAPROXY.format("", f" redirect location /in unless {{ {SIGNED} }}\n"), ["/x"], []),
        ("haproxy", HAPROXY.format("", " http-request redirect location /in unless { src 10.0.0.0/8 }\n"), ["/x"], []),
        ("haproxy", HAPROXY.format("", " http-request redirect prefix http://a if { hdr_beg(host) www. }\n"), [], ["/x"]),
        ("haproxy", HAPROXY.format("", f" use_backend in unless {{ {SIGNED} }}\n") + "backend in\n server s 127.0.0.1:2\n", ["/x"], []),
        ("haproxy", HAPROXY.format("", f" use_backend in if {{ src 10.0.0.0/8 }} !{{ {SIGNED} }}\n") + "backend in\n server s 127.0.0.1:2\n",
         ["/x"], []),
        ("haproxy", "defaults strict\n mode http\n http-request deny unless { src 10.0.0.0/8 }\ndefaults\n mode http\n"
                    + HAPROXY.format("", "").partition("\n mode http\n")[2].replace("frontend f", "frontend f from strict"), ["/x"], []),
        ("haproxy", HAPROXY.format(" tcp-request content reject unless { src 10.0.0.0/8 }\n", ""), ["/x"], []),
        ("alb", ALB.format(FORWARD, '{"Field": "path-pattern", "Values": ["/a/*"]}', '{"Type": "something", "Order": 1}'), ["/a/x"], ["/x"]),
        ("alb", ALB.format(FORWARD, '{"Field": "path-pattern", "Values": ["/a/*"]}', '{"Type": "jwt-validation", "Order": 1}'), ["/a/x"], ["/x"]),
        ("alb", ALB.format(FORWARD, '{"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PURGE"]}}', VALIDATE), ["/x"], []),
    ],
)  # fmt: skip
def test_no_request_passes_that_was_refused(kind: str, text: str, refused: list[str], passes: list[str], tmp_path):
    text, _ = imported(kind, text, tmp_path)
    assert [path for path in refused if opens(text, path)] == [], text
    assert [path for path in passes if not opens(text, path)] == [], text


def test_other_methods_than_a_route_can_name_are_refused_with_the_one_that_was(tmp_path):
    text, _ = imported("haproxy", HAPROXY.format("", " http-request deny if { method TRACE }\n"), tmp_path)
    assert not opens(text, "/x", method="TRACE") and opens(text, "/x", method="POST")


def asked(map_: str) -> str:
    return f"map $jwt_claim_role $ok {{ {map_} }} server {{ location / {{ {TOKENS} auth_jwt_require $ok; {PASS} }} }}"


def kjdev(claim: str) -> str:
    return f"server {{ location / {{ {TOKENS} auth_jwt_require_claim {claim}; {PASS} }} }}"


def rbac(rules: str, requires: str = "{provider_name: p}", providers: str = PROVIDER) -> str:
    providers = providers.replace("issuer:", "payload_in_metadata: t, issuer:")
    needed = f"{{match: {{prefix: /}}, requires: {requires}}}"
    return envoy(
        ALL, f"{jwt(needed, providers)}, {{name: envoy.filters.http.rbac, typed_config: {{rules: {{{rules}}}}}}}"
    )


def policy(permission: str, principal: str, more: str = "") -> str:
    return f"policies: {{p: {{permissions: [{permission}], principals: [{principal}]{more}}}}}"


def claim(value: str) -> str:
    return f"{{metadata: {{filter: envoy.filters.http.jwt_authn, path: [{{key: t}}, {{key: role}}], value: {value}}}}}"


BELOW_A = "{url_path: {path: {prefix: /a}}}"
ADMIN = claim("{string_match: {exact: admin}}")
SECOND = PROVIDER + ", q: {issuer: i, audiences: [b], local_jwks: {filename: /k}, subjects: {prefix: admin-}}"
CLOSED = "name: closed"


@pytest.mark.parametrize(
    ("kind", "text", "has", "lacks"),
    [
        ("nginx", asked("admin 1; default $other;"), CLOSED, ""),
        ("nginx", asked("~^evil 0; default 1;"), CLOSED, ""),
        ("nginx", asked("~^admin-test 0; ~^admin 1;"), CLOSED, ""),
        ("nginx", asked("admin-x 0; ~^admin 1;"), CLOSED, ""),
        ("nginx", asked("hostnames; *.x 0; default 1;"), CLOSED, ""),
        ("nginx", asked('"" 0; default 1;'), "{claim: role, exists: true}", "exists: false"),
        ("nginx", asked('"" 0; guest 0; default 1;'), "not: {claim: role, equals: guest}", "exists: false"),
        ("nginx", asked("~^admin 1;"), "{claim: role, prefix: admin}", CLOSED),
        ("nginx", kjdev("role !eq guest"), "not: {claim: role, equals: guest}", "exists: false"),
        ("envoy", rbac(f"action: ALLOW, {policy('{any: true}', ADMIN, ', condition: {}')}"), CLOSED, "equals: admin"),
        ("envoy", rbac("action: ALLOW, " + policy(f"{{and_rules: {{rules: [{BELOW_A}, {BELOW_A}]}}}}", ADMIN)),
         CLOSED, "equals: admin"),
        ("envoy", rbac(f"action: DENY, {policy('{any: true}', claim('{string_match: {contains: adm}}'))}"), CLOSED, ""),
        ("envoy", rbac(f"action: DENY, {policy('{any: true}', ADMIN)}", "{requires_any: {requirements: [{provider_name: p}, {allow_missing: {}}]}}"),
         "not: {claim: role, equals: admin}", CLOSED),
        ("envoy", rbac(f"action: DENY, {policy('{any: true}', ADMIN)}", "{allow_missing_or_failed: {}}"), "allow_missing: true", "report_only: true"),
        ("envoy", rbac(f"action: ALLOW, {policy('{any: true}', ADMIN)}", "{allow_missing_or_failed: {}}"), "equals: admin", "report_only: true"),
        ("envoy", rbac(f"action: ALLOW, {policy('{any: true}', ADMIN)}", "{allow_missing_or_failed: {}}"), "equals: admin", "allow_missing: true"),
        ("envoy", rbac(f"action: ALLOW, {policy('{any: true}', ADMIN)}",
                       "{requires_any: {requirements: [{provider_name: p}, {provider_name: q}]}}",
                       PROVIDER + ", q: {payload_in_metadata: u, " + PROVIDER[4:].replace("issuer: i", "Issuer: other")).replace("Issuer", "issuer"),
         "claim: iss, equals: i", ""),
        ("envoy", envoy(ALL, jwt(NEEDED, PROVIDER.replace("issuer:", "subjects: {safe_regex: {regex: x}}, issuer:"))), CLOSED, ""),
        ("envoy", envoy(ALL, jwt(NEEDED.replace("name: p", "name: q"), SECOND)), CLOSED, ""),
        ("envoy", ENVOY.format("", "typed_per_filter_config: {tokens: {requirement_name: r}}", jwt("", name="tokens", more=MAP)),
         "issuer: i", "public: true"),
        ("haproxy", HAPROXY.format("", f" http-request deny unless {{ {SIGNED} }} {{ {SIGNED.replace('/k.', '/l.')} }}\n"), CLOSED, ""),
        ("haproxy", HAPROXY.format("", f" http-request deny unless {{ {SIGNED} }} {{ req.cook(a),jwt_payload_query('$.a') -m str b }}\n"),
         CLOSED, ""),
        ("haproxy", HAPROXY.format("", f" http-request deny unless {{ {SIGNED} }} {{ http_auth_bearer,jwt_payload_query('$.a','int') ge 5 }}\n"),
         "at_least: 5", CLOSED),
    ],
)  # fmt: skip
def test_what_a_token_needs_is_no_less_than_there(kind: str, text: str, has: str, lacks: str, tmp_path):
    text, _ = imported(kind, text, tmp_path)
    assert has in text, text
    assert not lacks or lacks not in text, text


@pytest.mark.parametrize(
    "text",
    [
        "auth_jwt_key SECRET;", "proxy_password SECRET;", "set $a SECRET;", "access_by_lua_block { local a = 'SECRET'\n }",
    ],
)  # fmt: skip
def test_no_argument_that_may_be_a_secret_is_printed(text: str, tmp_path):
    configuration, said = imported("nginx", f"server {{ {text} {PUBLIC} }}", tmp_path)
    assert "left out" in said or text.startswith("set")
    assert "SECRET" not in configuration + said


def test_a_key_that_may_be_a_secret_is_not_taken_for_a_file(tmp_path):
    """HAProxy takes either, by the algorithm of the token."""
    rule = ' http-request deny unless { http_auth_bearer,jwt_verify(txn.alg,"hunter2-SECRET") 1 }\n'
    configuration, said = imported("haproxy", HAPROXY.format("", rule), tmp_path)
    assert "left out: the key of jwt_verify" in said and "SECRET" not in configuration + said


def test_a_path_in_any_case_is_said(tmp_path):
    """lbjwt refuses other spellings of the path of a route."""
    rule = f" http-request deny if {{ path_beg -i /admin }} !{{ {SIGNED} }}\n"
    text, said = imported("haproxy", HAPROXY.format("", rule), tmp_path)
    assert "approximated: /admin in any case" in said
    assert not opens(text, "/admin/x") and opens(text, "/x")


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("nginx", "http { include file; server { listen 80; } }", "includes itself"),
        ("nginx", "http { server { " + "location / { " * 5000 + "} " * 5000 + "} }", "nested too deeply"),
        ("nginx", "#" * (1 << 20) + "\nserver { }", "larger than 1 MiB"),
        ("alb", '{"Listeners": ' + "[" * 100_000, "nested"),
        ("haproxy", HAPROXY.format("", " .if defined(TEST)\n http-request allow\n .endif\n"), ":5: which branch"),
        ("envoy", "a: " + "[" * 100, "nested more than 32 levels"),
        (
            "envoy",
            "a: &a [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1 or ''}, *a{n - 1 or ''}]\n" for n in range(1, 25)),
            "more than",
        ),
    ],
    ids=["cycle", "nested blocks", "large", "nested lists", "branches", "nested YAML", "many aliases"],
)
def test_a_hostile_file_is_an_error(kind: str, text: str, says: str, tmp_path):
    file = tmp_path / "file"
    file.write_text(text)
    result = CliRunner().invoke(main, ["import", kind, str(file)])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert result.stderr.startswith(str(file)) and says in result.stderr
