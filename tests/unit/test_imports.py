"""`lbjwt import`: the command, routes from any order of rules, expressions on paths, and files that are broken."""

import random
import re
from pathlib import Path as FilePath

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt.cli import main
from lbjwt.imports.draft import Noted
from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.literals import matches, paths_of, stem_of
from lbjwt.imports.load import import_file
from lbjwt.imports.matching import Path, Request, compile_routes, host_covers, resolve
from lbjwt.imports.path_change import PathChange
from lbjwt.imports.writer import write
from tests.harness.examples import examples
from tests.unit.test_imports_samples import FILES, SAMPLES

MISSING = {"missing": True}
HOSTS = ("a.example", "b.a.example", "*.a.example", "")
STEMS = ("/", "/api", "/api/v1", "/web")


def run(kind: str, file: FilePath):
    return CliRunner().invoke(main, ["import", kind, str(file)])


@pytest.mark.parametrize(
    ("sample", "code"),
    [("envoy/two-providers.yaml", 0), ("haproxy/none.cfg", 1), ("alb/default-action.json", 0), ("nginx/plain.conf", 1)],
)
def test_the_exit_code_says_whether_something_was_left_out(sample: str, code: int):
    """The configuration is all of standard output; each finding is a line of standard error with its place."""
    file = SAMPLES / sample
    result = run(file.parent.name, file)
    assert result.exit_code == code
    assert result.stdout.startswith("# Imported from ") and "findings" not in result.stdout
    assert all(line.startswith(f"{file}:") for line in result.stderr.splitlines())
    assert any(": left out: " in line for line in result.stderr.splitlines()) is bool(code)


@pytest.mark.parametrize(
    ("kind", "content", "says"),
    [
        ("nginx", None, "cannot be read: No such file or directory"),
        ("nginx", b"http { server { listen 80;", ':1: unexpected end of file, expecting "}"'),
        ("nginx", b"worker_processes 1;\n", ":1: has no http block and no server"),
        ("nginx", b"http { }\n", ":1: has no server"),
        ("nginx", b"\xff\xfe", "is not UTF-8"),
        ("envoy", b"\n", ": is empty"),
        ("envoy", b"a: [", ":1: not YAML"),
        ("envoy", b"static_resources: {}\n", ":1: has no static listener"),
        ("envoy", b"- 1\n", ":1: is not a mapping"),
        ("haproxy", b"bind :80\n", ":1: is no section of HAProxy: bind"),
        ("haproxy", b"global\n  log 'x\n", ":2: a quote is not closed"),
        ("haproxy", b"backend a\n", ":1: has no frontend"),
        ("haproxy", b"frontend a\n mode tcp\n bind :80\n", ":1: has no frontend in mode http"),
        ("alb", b'{"Listeners": ]\n', ":1: is no JSON: Expecting value"),
        ("alb", b'{"TargetGroups": []}\n', ":1: has no listener"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_imported_is_an_error_with_its_place(
    kind: str, content: bytes | None, says: str, tmp_path
):
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    result = run(kind, file)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(str(file)) and says in result.stderr


NGINX_AUDIENCE = """
map $jwt_claim_aud $mine { "~orders" 1; }
server {
    listen 80;
    auth_jwt realm;
    auth_jwt_key_file keys.json;
    auth_jwt_require $mine;
    location / { proxy_pass http://127.0.0.1:1; }
}
"""
ALB_RULES = """
{"Listeners": [{"ListenerArn": "a:listener/app/main/1/2", "Port": 80, "Protocol": "HTTP", "DefaultActions": []}]}
{"Rules": [{"RuleArn": "a:listener-rule/app/main/1/3/4", "Priority": "1", "Conditions": [], "Actions": []}]}
"""


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("nginx", NGINX_AUDIENCE, "approximated: ~orders on aud also matches within other texts there"),
        ("alb", ALB_RULES, "left out: a rule of a listener that is not in the file"),
    ],
)
def test_what_the_result_does_otherwise_is_said(kind: str, text: str, says: str, tmp_path):
    """Nothing is narrowed or dropped without a line."""
    file = tmp_path / "file"
    file.write_text(text)
    assert says in run(kind, file).stderr


@pytest.mark.parametrize(
    ("sample", "secret"),
    [
        ("haproxy/none.cfg", "a-secret-of-32-bytes-in-the-file"),
        ("envoy/inline-keys.yaml", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"),
        ("nginx/restricted.conf", "abc"),
    ],
)  # fmt: skip
def test_no_secret_of_the_file_is_printed(sample: str, secret: str):
    file = SAMPLES / sample
    assert secret in file.read_text()
    result = run(file.parent.name, file)
    assert secret not in result.stdout and secret not in result.stderr


TOKENS = "auth_jwt api; auth_jwt_key_file /k;"
HAPROXY = "defaults\n mode http\n{0}frontend f\n bind :80\n{1} default_backend b\nbackend b\n server s 127.0.0.1:1\n"
SIGNED = "http_auth_bearer,jwt_verify(RS256,/k.pem) 1"
ALB = (
    '{{"Listeners": [{{"ListenerArn": "l", "Port": 80, "DefaultActions": [{0}]}}], '
    '"Rules": [{{"ListenerArn": "l", "Priority": "1", "Conditions": [{1}], "Actions": [{2}, {0}]}}]}}'
)
FORWARD = '{"Type": "forward", "Order": 2, "TargetGroupArn": "g"}'
VALIDATE = (
    '{"Type": "jwt-validation", "Order": 1, "JwtValidationConfig": {"Issuer": "i", "JwksEndpoint": "https://i/k"}}'
)
ENVOY = (
    "static_resources: {{listeners: [{{address: {{socket_address: {{address: 127.0.0.1, port_value: 80}}}}, filter_chains: [{{filters: [{{name: "
    "envoy.filters.network.http_connection_manager, typed_config: {{route_config: {{virtual_hosts: [{{domains: ['*'], {0} routes: [{{match: "
    "{{prefix: /}}, route: {{cluster: c}}, {1}}}]}}]}}, http_filters: [{2}]}}}}]}}]}}], clusters: [{{name: c}}]}}"
)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("nginx", "server { return 403; location / { proxy_pass http://a; } }"),
        ("nginx", "server { location / { proxy_pass http://a; return 403; } }"),
        ("nginx", "server { ssl_verify_client on; location / { proxy_pass http://a; } }"),
        ("nginx", "server { location / { satisfy any; proxy_pass http://a; } }"),
        ("nginx", "server { location / { proxy_pass http://a; if ($arg_x = 1) { return 403; } } }"),
        ("nginx", f"server {{ location ~ \\.php$ {{ {TOKENS} proxy_pass http://a; }} location / {{ proxy_pass http://a; }} }}"),
        ("nginx", "server { location / { proxy_pass http://a; } } "
                  f"server {{ server_name ~^x; location / {{ {TOKENS} proxy_pass http://a; }} }}"),
        ("nginx", "server { location / { auth_jwt api token=$odd; auth_jwt_key_file /k; proxy_pass http://a; } }"),
        ("haproxy", HAPROXY.format(f" http-request deny unless {{ {SIGNED} }}\n", "")),
        ("haproxy", HAPROXY.format("", " tcp-request connection reject unless { src 10.0.0.0/8 }\n")),
        ("haproxy", HAPROXY.format("", " http-request set-path /x%[path]\n http-request deny if { path_beg /admin }\n")),
        ("haproxy", HAPROXY.format("", " http-request deny unless { src 10.0.0.0/8 }\n")),
        ("haproxy", HAPROXY.format("", " http-request auth unless { src 10.0.0.0/8 }\n")),
        ("haproxy", HAPROXY.format("", " http-request set-var(txn.a) str(x)\n http-request set-var(txn.a) url_param(a)\n"
                                       " http-request deny unless { var(txn.a) -m str x }\n")),
        ("haproxy", HAPROXY.format("", " http-request deny unless { http_auth_bearer -m found }\n")),
        ("haproxy", HAPROXY.format("", " http-request deny unless { http_auth_bearer,jwt_payload_query('$.iss') -m str i }\n")),
        ("envoy", ENVOY.format("", "typed_per_filter_config: {envoy.filters.http.rbac: {rbac: {}}}", "")),
        ("envoy", ENVOY.format("typed_per_filter_config: {envoy.filters.http.ext_authz: {}},", "", "")),
        ("envoy", ENVOY.format("", "", "{name: envoy.filters.http.lua, typed_config: {}}")),
        ("envoy", ENVOY.format("", "", "{name: envoy.filters.http.rbac, typed_config: {rules: {action: ALLOW, policies: {}}}}")),
        ("envoy", ENVOY.format("", "", "{name: envoy.filters.http.rbac, typed_config: {rules: {action: ALLOW, policies: {p: {permissions: "
                                       "[{any: true}], principals: [{direct_remote_ip: {address_prefix: 10.0.0.0}}]}}}}}")),
        ("alb", ALB.format(FORWARD, '{"Field": "host-header", "Values": ["a-?.example"]}', VALIDATE)),
        ("alb", ALB.format(FORWARD, '{"Field": "path-pattern", "Values": ["*.php"]}', VALIDATE)),
        ("alb", ALB.format(FORWARD, '{"Field": "http-header", "HttpHeaderConfig": {}}', VALIDATE)),
        ("alb", ALB.format(FORWARD, '{"Field": "path-pattern", "Values": ["/*"]}', '{"Type": "authenticate-oidc", "Order": 1}')),
    ],
)  # fmt: skip
def test_what_restricts_and_cannot_be_taken_over_leaves_nothing_open(kind: str, text: str, tmp_path):
    file = tmp_path / "file"
    file.write_text(text)
    result = run(kind, file)
    assert result.exit_code in (0, 1), result.stderr
    assert "\nroutes:\n" in result.stdout or text.startswith("server { return")
    assert "public: true" not in result.stdout, result.stdout


rules = st.lists(
    st.tuples(
        st.sampled_from(HOSTS),
        st.sampled_from(STEMS),
        st.sampled_from(["exact", "tree", "below"]),
        st.sampled_from([(), ("GET",), ("POST", "PUT")]),
        st.integers(0, 3),
    ),
    max_size=7,
)


@settings(max_examples=examples(200), deadline=None)
@given(rules)
def test_the_most_specific_route_decides_as_the_first_rule_did(found):
    """For every host, path and method. A prefix takes its own path along, which never needs less there."""

    def meant(stem, how):
        return [(Path(stem, how == "exact"), "tree" if stem == "/" and how == "below" else how)]

    def decide(request: Request):
        for host, stem, how, methods, number in found:
            if (
                host_covers(host, request.host)
                and matches(meant(stem, how), request.path)
                and (not methods or request.method in methods)
            ):
                return {"number": number, "public": number == 0}
        return None

    paths = [path for _, stem, how, _, _ in found for path, _ in meant(stem, how)]
    methods = [method for *_, named, _ in found for method in named]
    routes = compile_routes([host for host, *_ in found if host], paths, methods, decide, MISSING)
    for host in ("a.example", "b.a.example", "c.b.a.example", "other"):
        for path in ("/", "/x", "/api", "/api/x", "/api/v1", "/api/v1/x", "/api/v2", "/web", "/web/x/y"):
            for method in ("GET", "POST", "PUT", "DELETE"):
                request = Request(host, path, method)
                wanted, there = decide(request), resolve(routes, request)
                if path in STEMS and wanted != there:
                    assert there is not None and (not there.get("public") or wanted is None)
                else:
                    assert there == wanted or (wanted is None and there == MISSING)


def test_requirements_that_refuse_with_different_statuses_are_told(tmp_path):
    file = tmp_path / "file"
    file.write_text(
        f"server {{ location / {{ {TOKENS} proxy_pass http://a; auth_jwt_require_claim .a eq b;\n"
        "auth_jwt_require_claim .c eq d error=403; } }"
    )
    result = run("nginx", file)
    assert f"{file}:2: approximated: other requirements of this location refuse with 401 there" in result.stderr


def test_an_address_for_plain_http_that_only_redirects_is_not_opened(tmp_path):
    """HAProxy tells it from the one with TLS by a condition; all listeners of lbjwt have the same routes."""
    file = tmp_path / "file"
    rule = " bind :443 ssl crt /site.pem\n http-request redirect scheme https unless { ssl_fc }\n"
    file.write_text(HAPROXY.format("", rule))
    result = run("haproxy", file)
    assert result.exit_code == 1 and "rules on ssl_fc" in result.stderr
    assert '":443"' in result.stdout and '":80"' not in result.stdout


def test_nginx_without_a_limit_of_bodies_keeps_what_else_it_says(tmp_path):
    """`client_max_body_size 0` in one location is told, and hides neither the other times nor the log."""
    file = tmp_path / "nginx.conf"
    server = (
        "listen 80; keepalive_timeout 7s; access_log /var/log/a.log; location / { proxy_pass http://127.0.0.1:1; %s }"
    )
    file.write_text("http { server { %s } }" % (server % "client_max_body_size 0;"))
    result = run("nginx", file)
    assert "keep_alive: 7s" in result.stdout and "path: /var/log/a.log" in result.stdout
    assert "max_request_body" not in result.stdout and "one limit, here none" in result.stderr


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("^/api/", ["/api/", "/api/x"], ["/api", "/apix"]),
        ("^/api(/|$)", ["/api", "/api/x"], ["/apix"]),
        ("^/(a|b)/c$", ["/a/c", "/b/c"], ["/a/c/d", "/c"]),
        (r"^/v1\.2/.*$", ["/v1.2/x"], ["/v1.2", "/v1x2/y"]),
        ("^/x/?$", ["/x", "/x/"], ["/x/y"]),
        ("^/(?:one|two)", ["/one", "/onexx", "/two/x"], ["/three"]),
    ],
)
def test_an_expression_that_only_lists_paths_is_understood(pattern: str, yes: list[str], no: list[str]):
    found = paths_of(pattern)
    assert found is not None
    assert [path for path in yes if not matches(found, path)] == [path for path in no if matches(found, path)] == []


@pytest.mark.parametrize(
    "pattern", ["/api", r"\.php$", r"^/v\d+/", "^/a.b", "^/(a|b", "^/a+", "^(?!/x)", "^/[ab]/", "^/a|/b", "^"]
)
def test_any_other_expression_is_not_translated(pattern: str):
    assert paths_of(pattern) is None


@pytest.mark.parametrize(
    ("pattern", "stem"),
    [
        *((r"^/users/\d+/secret", "/users"), (r"^/a/b/[cd]", "/a/b"), (r"\.php$", "/"), ("^/a|/b", "/"), (r"^/ab*/x/", "/")),
        *(("^/a/?[xy]", "/"), (r"^/a\.b/c/.+\.js", "/a.b/c")),
    ],
)  # fmt: skip
def test_everything_that_an_expression_matches_is_below_its_stem(pattern: str, stem: str):
    assert stem_of(pattern).text == stem


@pytest.mark.parametrize(
    ("pattern", "new", "all_of_it", "becomes"),
    [
        ("^/api/(.*)$", r"/v1/\1", True, {"/api/x": "/v1/x", "/api/": "/v1/", "/other": None, "/apix": None}),
        ("^/api/(.*)", "/$1", True, {"/api/x/y": "/x/y", "/api/": "/"}),
        ("^/api(/.*)?$", r"/v1\1", True, {"/api": "/v1", "/api/x": "/v1/x", "/apix": None}),
        ("^/api(/.*)", r"\1", True, {"/api/x": "/x"}),
        (r"^/v1\.2/(.*)$", r"/v2/\1", False, {"/v1.2/x": "/v2/x", "/v1x2/x": None}),
        ("^/api/", "/v1/", False, {"/api/x": "/v1/x", "/x/api/y": None}),
        ("^/health$", "/healthz", True, {"/health": "/healthz", "/health/x": None}),
        ("^/(.*)$", r"/v1/\1", True, {"/": "/v1/", "/x": "/v1/x"}),
    ],
)
def test_an_expression_that_replaces_whole_segments_is_a_rewrite(
    pattern: str, new: str, all_of_it: bool, becomes: dict[str, str | None]
):
    """Which does the same as the expression."""
    change = PathChange.of_pattern(pattern, new, all_of_it=all_of_it)
    assert change is not None
    for path, wanted in becomes.items():
        assert (change.rewrite_of(Path(path, True)) if change.covers(path) else None) == wanted, path
        assert re.sub(pattern, re.sub(r"\$1", r"\\1", new), path, count=1) == (wanted or path)


@pytest.mark.parametrize(
    ("pattern", "new", "all_of_it"),
    [
        *(("^/api", "/v1", True), ("/api/", "/v1/", False), ("^/api/(.*)$", "/v1", True), ("^/api/(.*)$", r"/v1\1", True)),
        *(("^/api/.*$", "/v1/", True), (r"^/api/(\d+)$", r"/v1/\1", True), ("^/api/(.*)$", r"/v1/\1?a=b", True)),
        *(("^/api/(.*)$", r"/\1/v1", True), ("^/api/(.*)$", "/v1/%[src]$1", True), ("^/api/", "/v1//", False), ("^/(a|b)/(.*)", r"/\2", True)),
    ],
)  # fmt: skip
def test_any_other_change_of_the_path_is_not_translated(pattern: str, new: str, all_of_it: bool):
    assert PathChange.of_pattern(pattern, new, all_of_it=all_of_it) is None


def test_a_value_is_printed_as_a_person_would():
    """Short lists on one line, quotes only where YAML needs them, remarks at the end of their line."""
    configuration = {
        "issuers": {
            "main": {"issuer": "https://a.example", "audiences": ["yes", "1", "a b"], "any": Noted(True, "unsafe")}
        },
        "routes": [{"name": "x", "rules": [{"claim": "a", "equals": "b#c"}], "retry": {"on": [502]}}],
    }
    assert write(configuration, "title") == (
        "# title\n\nissuers:\n  main:\n    issuer: https://a.example\n"
        '    audiences: ["yes", "1", "a b"]\n    any: true  # unsafe\n\n'
        'routes:\n  - name: x\n    rules:\n      - {claim: a, equals: "b#c"}\n    retry:\n      on: [502]\n'
    )


def test_a_broken_file_is_an_error_or_is_imported(tmp_path):
    """Whatever words or lines are missing or repeated."""
    chance = random.Random(12)
    for _ in range(30):
        sample = chance.choice(FILES)
        lines = sample.read_text().splitlines()
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(lines))
            words = lines[at].split(" ")
            del words[chance.randrange(len(words))]
            lines[at : at + 1] = chance.choice([[], [" ".join(words)], [lines[at]] * 2])
        file = tmp_path / sample.name
        file.write_text("\n".join(lines) + "\n")
        try:
            import_file(sample.parent.name, file)
        except ImportFailure as failure:
            assert str(failure).startswith(str(file))
