"""
A corpus of broken files: one good file, and for each entry one change that breaks it.

A change is (old text, new text); ``^`` in the new text marks where the problem must be reported.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from lbjwt.checks.registry import every_problem
from lbjwt.cli import main
from lbjwt.config.fields import Source
from lbjwt.config.load import examine_file, examine_text
from lbjwt.config.problems import EXAMPLES, key_path_text
from lbjwt.config.section import Section
from tests.unit.broken_files import assert_told

GOOD = """\
listeners:
  - address: 127.0.0.1:8080
    tls: {certificate: cert.pem, private_key: key.pem}
issuers:
  main:
    issuer: https://issuer.example
    audiences: [api]
    algorithms: [RS256, ES256]
    jwks_file: jwks.json
    clock_skew: 60s
clusters:
  main:
    endpoints:
      - {address: 127.0.0.1:9001, weight: 1}
      - {address: "unix:/run/app.sock"}
    connect_timeout: 2s
token_cache: {max_bytes: 64MiB}
claim_to_headers:
  - {claim: sub, header: X-Jwt-Sub}
forward_token: true
realm: lbjwt
trusted_proxies: [10.0.0.0/8]
limits: {max_token: 8KiB}
timeouts: {request_head: 10s}
workers: 1
admin: {address: 127.0.0.1:9900}
access_log: {path: "-"}
"""

REMOTE = "remote_jwks: {uri: https://issuer.example/jwks}"

CORPUS: list[tuple[str, str, str, str]] = [
    # old text, new text with the place, key path, part of the sentence
    # unknown and missing keys
    ("realm:", "^raelm:", "raelm", 'unknown key; did you mean "realm"?'),
    ("connect_timeout:", "^connect_timout:", "clusters.main.connect_timout", 'did you mean "connect_timeout"?'),
    ("connect_timeout:", "^connect-timeout:", "clusters.main.connect-timeout", 'did you mean "connect_timeout"?'),
    ("audiences: [api]", "audiences: [api]\n    ^scopes: [a]", "issuers.main.scopes", 'did you mean "required_scopes"?'),
    ("clock_skew:", "^leeway:", "issuers.main.leeway", 'did you mean "clock_skew"?'),
    ("max_token:", "^max_tokens:", "limits.max_tokens", 'did you mean "max_token"?'),
    ("weight:", "^wieght:", "clusters.main.endpoints[0].wieght", 'did you mean "weight"?'),
    ("certificate:", "^cert:", "listeners[0].tls.cert", 'did you mean "certificate"?'),
    ("realm: lbjwt", "^jwks_file: x", "jwks_file", "it belongs in issuers.<label>.jwks_file"),
    ("realm: lbjwt", "^leeway: 5s", "leeway", "it belongs in issuers.<label>.clock_skew"),
    ("realm: lbjwt", "^zebra: 5s", "zebra", "unknown key"),
    ("realm: lbjwt", "^5: 5s", "5", "unknown key"),
    ("clock_skew: 60s", "^workers: 1", "issuers.main.workers", "it belongs in workers"),
    ("{claim: sub, header: X-Jwt-Sub}", "^{claim: sub}", "claim_to_headers[0].header", "is required"),
    ("certificate: cert.pem, ", "", "listeners[0].tls.certificate", "is required"),
    ("  - address: 127.0.0.1:8080\n    tls:", "  - ^tls:", "listeners[0].address", "is required"),
    ("realm:", "realm: again\n^realm:", "realm", "appears twice"),
    # wrong kinds
    ("forward_token: true", "forward_token: ^yes", "forward_token", "must be true or false"),
    ("forward_token: true", "forward_token: ^1", "forward_token", "true or false"),
    ("forward_token: true", "^forward_token:", "forward_token", "has no value"),
    ("limits: {max_token: 8KiB}", "^limits:", "limits", "has no value"),
    ("limits: {max_token: 8KiB}", "limits: ^8KiB", "limits", "must be a mapping"),
    ("realm: lbjwt", "realm: ^42", "realm", "must be text; put it in quotes"),
    ("audiences: [api]", "audiences: ^api", "issuers.main.audiences", "must be a list"),
    ("audiences: [api]", "audiences: [^42]", "issuers.main.audiences[0]", "must be text; put it in quotes"),
    ("audiences: [api]", "audiences: [api, ^\"\"]", "issuers.main.audiences[1]", "must not be empty"),
    ("audiences: [api]", "audiences: ^[api, api]", "issuers.main.audiences", "twice"),
    ("weight: 1", "weight: ^heavy", "clusters.main.endpoints[0].weight", "whole number"),
    ("weight: 1", 'weight: ^"1"', "clusters.main.endpoints[0].weight", "whole number, without quotes"),
    ("weight: 1", "weight: ^1.5", "clusters.main.endpoints[0].weight", "whole number"),
    ("weight: 1", "weight: ^-1", "clusters.main.endpoints[0].weight", "at least 0"),
    ("weight: 1", "weight: ^1001", "clusters.main.endpoints[0].weight", "at most 1000"),
    ("weight: 1", "weight: ^true", "clusters.main.endpoints[0].weight", "whole number"),
    ("issuers:\n  main:", "^issuers:\n  - main:", "issuers", "must be a mapping"),
    ("weight: 1", 'weight: ^"1.5"', "clusters.main.endpoints[0].weight", "whole number, without quotes"),
    ("workers: 1", 'workers: ^"2"', "workers", "from 1 to 1024, without quotes, or auto"),
    ("limits: {max_token: 8KiB}", "limits: ^8KiB", "limits", "must be a mapping of keys to values, such as {max_token: 8KiB}"),
    ("issuers:\n  main:", "^issuers:\n  - main:", "issuers", "to values, such as {main: {issuer: "),
    ("{address: 127.0.0.1:9001, weight: 1}", "^127.0.0.1:9001", "clusters.main.endpoints[0]", 'such as {address: "127.0.0.1:9001"}'),
    ("    tls: {certificate: cert.pem, private_key: key.pem}", "    tls: ^true", "listeners[0].tls", "such as {certificate: cert.pem"),
    ("realm: lbjwt", "revocation: ^true", "revocation", "such as {}"),
    # durations and sizes
    ("clock_skew: 60s", 'clock_skew: ^"60"', "issuers.main.clock_skew", 'did you mean "1m"?'),
    ("clock_skew: 60s", "clock_skew: ^60", "issuers.main.clock_skew", 'needs a unit (ms, s, m, h, d); did you mean "60s"?'),
    ("clock_skew: 60s", "clock_skew: ^301s", "issuers.main.clock_skew", "from 0s to 5m"),
    ("clock_skew: 60s", "clock_skew: ^1.5s", "issuers.main.clock_skew", 'did you mean "1500ms"?'),
    ("connect_timeout: 2s", "connect_timeout: ^0s", "clusters.main.connect_timeout", "from 10ms to 1m"),
    ("connect_timeout: 2s", "connect_timeout: ^.nan", "clusters.main.connect_timeout", "needs a unit"),
    ("connect_timeout: 2s", "connect_timeout: ^[2s]", "clusters.main.connect_timeout", "must be a duration"),
    ("max_token: 8KiB", "max_token: ^8KB", "limits.max_token", 'did you mean "8KiB"?'),
    ("max_token: 8KiB", "max_token: ^1MiB", "limits.max_token", "from 256 to 64KiB"),
    ("max_token: 8KiB", "max_token: ^-1", "limits.max_token", "from 256"),
    ("max_token: 8KiB", "max_request_head: 4KiB, max_token: ^8KiB", "limits.max_token", "does not fit in a request head"),
    ("max_bytes: 64MiB", "max_bytes: ^64.5MiB", "token_cache.max_bytes", "a whole number of bytes"),
    # addresses
    ("127.0.0.1:8080", "^127.0.0.1:80800", "listeners[0].address", "port"),
    ("127.0.0.1:8080", "^8080", "listeners[0].address", "as text"),
    ("127.0.0.1:8080", "^http://127.0.0.1:8080", "listeners[0].address", 'HOST:PORT, without a scheme and a path; did you mean "127.0.0.1:8080"?'),
    ("address: 127.0.0.1:9001", "address: ^http://backend:9001/x", "clusters.main.endpoints[0].address", "must end after the port"),
    ("address: 127.0.0.1:9001", "address: ^http://u:p@backend", "clusters.main.endpoints[0].address", "must not contain a user or a password"),
    ("address: 127.0.0.1:9001", "address: ^ftp://backend:9001", "clusters.main.endpoints[0].address", "must begin with http:// or https://"),
    ("address: 127.0.0.1:9001", "address: ^h2c://backend:9001", "clusters.main.endpoints[0].address", "speaks HTTP/1.1 to endpoints"),
    ("address: 127.0.0.1:9001", "address: ^https://backend:0", "clusters.main.endpoints[0].address", "from 1 to 65535"),
    ("address: 127.0.0.1:9001", 'address: ^"${BACKEND}:9001"', "clusters.main.endpoints[0].address", "lbjwt does not replace"),
    ("workers: 1", 'workers: ^"${WORKERS}"', "workers", "lbjwt does not replace"),
    ("127.0.0.1:8080", "^unix:/run/lb.sock", "listeners[0].address", "only a listener with mode: authorize"),
    ("{address: 127.0.0.1:9900}", "{address: ^unix:/run/lb.sock}", "admin.address", "only listeners can be on a Unix socket"),
    ("address: 127.0.0.1:9001", "address: ^127.0.0.1:0", "clusters.main.endpoints[0].address", "from 1 to 65535"),
    ("address: 127.0.0.1:9001", 'address: ^":9001"', "clusters.main.endpoints[0].address", "needs a host"),
    ("address: 127.0.0.1:9001", "address: ^0.0.0.0:9001", "clusters.main.endpoints[0].address", "cannot connect to the address for all interfaces"),
    ("address: 127.0.0.1:9001", "address: ^127.0.0.1:8080", "clusters.main.endpoints[0].address", "so requests would loop"),
    ('"unix:/run/app.sock"', "127.0.0.1:9001", "clusters.main.endpoints", "the list contains"),
    ("{address: 127.0.0.1:9900}", "{address: ^127.0.0.1:8080}", "admin.address", "already the address of a listener"),
    # issuers and keys
    ("    issuer: https://issuer.example\n", "", "issuers.main", "give issuer"),
    ("issuer: https://issuer.example\n", "issuer: https://issuer.example\n    any_issuer: true\n", "issuers.main", "contradicts issuer"),
    ("    audiences: [api]\n", "", "issuers.main", "give audiences"),
    ("audiences: [api]", "audiences: [api]\n    any_audience: true", "issuers.main", "contradicts audiences"),
    ("    jwks_file: jwks.json\n", "", "issuers.main", "give the keys"),
    ("jwks_file: jwks.json", "jwks_file: jwks.json\n    pem_file: ^key.pem", "issuers.main.pem_file", "here are jwks_file and pem_file"),
    ("jwks_file: jwks.json", "secret_file: s", "issuers.main.algorithms", "every algorithm must be HS256"),
    ("algorithms: [RS256, ES256]", "algorithms: [RS256, ^none]", "issuers.main.algorithms[1]", '"none" is never accepted'),
    ("algorithms: [RS256, ES256]", "algorithms: [^NoNe]", "issuers.main.algorithms[0]", '"none" is never accepted'),
    ("algorithms: [RS256, ES256]", "algorithms: [^rs256]", "issuers.main.algorithms[0]", 'did you mean "RS256"?'),
    ("algorithms: [RS256, ES256]\n    jwks_file: jwks.json", "algorithms: ^[HS256]\n    pem_file: k", "issuers.main.algorithms", "need a secret"),
    ("algorithms: [RS256, ES256]\n    jwks_file: jwks.json", "algorithms: [HS256]\n    secret_files: ^[]", "issuers.main.secret_files", "at least 1"),
    ("algorithms: [RS256, ES256]\n    jwks_file: jwks.json", "algorithms: [HS256]\n    secret_files: ^[s, s]", "issuers.main.secret_files", "twice"),
    ("algorithms: [RS256, ES256]\n    jwks_file: jwks.json", f"algorithms: [HS256]\n    secret_files: ^[{','.join('abcdefghi')}]",
     "issuers.main.secret_files", "at most 8"),
    ("jwks_file: jwks.json", "secret_files: [s, t]", "issuers.main.algorithms", "every algorithm must be HS256"),
    ("jwks_file: jwks.json", "secret_files: [s]\n    secret_file: ^t", "issuers.main.secret_file", "here are secret_files and secret_file"),
    ("algorithms: [RS256, ES256]", "algorithms: ^[]", "issuers.main.algorithms", "at least 1"),
    ("  main:\n    issuer:", "  ^main issuer:\n    issuer:", "issuers.main issuer", "a label"),
    ("jwks_file: jwks.json", 'jwks_file: ^""', "issuers.main.jwks_file", "not be empty"),
    ("jwks_file: jwks.json", REMOTE.replace("https:", "^http:"), "issuers.main.remote_jwks.uri", "plain http"),
    ("jwks_file: jwks.json", REMOTE.replace("https:", "^file:"), "issuers.main.remote_jwks.uri", "must be an https URL"),
    ("jwks_file: jwks.json", REMOTE.replace("https://", "^https://user:pass@"), "issuers.main.remote_jwks.uri", "password"),
    ("jwks_file: jwks.json", REMOTE.replace("https://issuer.example", "^https://169.254.169.254"), "issuers.main.remote_jwks.uri", "link-local"),
    ("jwks_file: jwks.json", REMOTE.replace("https://issuer.example/jwks", '^"https://x/#y"'), "issuers.main.remote_jwks.uri", "fragment"),
    ("jwks_file: jwks.json", REMOTE.replace("https://issuer.example", "^https://x:99999"), "issuers.main.remote_jwks.uri", "must be a URL"),
    # headers, networks and the rest
    ("header: X-Jwt-Sub", "header: ^Host", "claim_to_headers[0].header", "fixed meaning"),
    ("header: X-Jwt-Sub", "header: ^content-length", "claim_to_headers[0].header", "fixed meaning"),
    ("header: X-Jwt-Sub", "header: ^X-Forwarded-User", "claim_to_headers[0].header", "fixed meaning"),
    ("header: X-Jwt-Sub", "header: ^X_Jwt_Sub", "claim_to_headers[0].header", "letters, digits and inner hyphens"),
    ("header: X-Jwt-Sub", 'header: ^"X-Jwt\\r\\nEvil"', "claim_to_headers[0].header", "letters, digits and inner hyphens"),
    ("X-Jwt-Sub}\n", "X-Jwt-Sub}\n  - {claim: name, header: ^x-jwt-sub}\n", "claim_to_headers[1].header", "header name"),
    ("claim: sub", 'claim: ^"a\\x1bb"', "claim_to_headers[0].claim", "invisible character"),
    ("10.0.0.0/8", "^10.0.0.1/8", "trusted_proxies[0]", "all bits after the prefix must be zero"),
    ("10.0.0.0/8", "^ten", "trusted_proxies[0]", "prefix length"),
    ("workers: 1", "workers: ^0", "workers", "from 1 to 1024, or auto"),
    ("workers: 1", "workers: ^Auto", "workers", "from 1 to 1024, or auto"),
    ("workers: 1", "workers: ^true", "workers", "from 1 to 1024, or auto"),
    ("realm: lbjwt", "realm: ^'a \"b\"'", "realm", "without quotes"),
    ("realm: lbjwt", "header_names: ^Dropp", "header_names", 'did you mean "drop"?'),
    ('path: "-"', "path: ^jwks.json", "access_log.path", "the log would overwrite"),
    # not YAML
    ("realm: lbjwt", "realm: lbjwt\n^\tfoo: 1", "", "tabs"),
    ("realm: lbjwt", "realm: lbjwt^: x", "", "a second"),
    ("realm: lbjwt", "realm: ^!env REALM", "realm", "tags"),
    ("realm: lbjwt", "^<<: {realm: x}", "<<", "merge keys"),
]  # fmt: skip


def test_the_good_file_is_good():
    """Every entry of the corpus breaks a file that has no problem itself."""
    examination = examine_text(GOOD, Path("/etc/lbjwt"))
    assert examination.problems == ()
    assert examination.configuration is not None


@pytest.mark.parametrize(("old", "new", "path", "part"), CORPUS)
def test_each_broken_file_is_told_with_its_place(old: str, new: str, path: str, part: str):
    """One change gives one error, at its line and column, under its key path, with its sentence."""
    assert_told(GOOD, old, new, path, part)


def test_all_problems_come_in_one_run_in_the_order_of_the_lines():
    """A file with a problem in every section gets them all, top to bottom."""
    text = GOOD
    changes = [
        ("127.0.0.1:8080", "127.0.0.1:x"),
        ("    issuer: https://issuer.example\n", ""),
        ("RS256,", "none,"),
        ("weight: 1", "weight: -1"),
    ]
    changes += [
        ("header: X-Jwt-Sub", "header: Host"),
        ("realm: lbjwt", "realms: lbjwt"),
        ("workers: 1", "workers: many"),
        ("8KiB", "8KB"),
    ]
    for old, new in changes:
        text = text.replace(old, new, 1)
    problems = examine_text(text, Path("/")).problems
    assert len(problems) == len(changes)
    assert [problem.line for problem in problems] == sorted(problem.line or 0 for problem in problems)


def test_no_sentence_repeats_a_value_that_could_be_a_secret():
    """A secret pasted into the wrong place is not printed: logs of failed starts are kept and shared."""
    canary = "S3cr3tCanary"
    for old, key in (
        ("realm: lbjwt", "realm"),
        ("clock_skew: 60s", "clock_skew"),
        ("workers: 1", "workers"),
        ("max_bytes: 64MiB", "max_bytes"),
    ):
        text = GOOD.replace(old, f'{key}: "{canary}\\x00"', 1)
        rendered = "\n".join(problem.render("f") for problem in examine_text(text, Path("/")).problems)
        assert rendered
        assert canary not in rendered


def test_control_characters_of_a_file_do_not_reach_the_terminal():
    """An escape sequence in a key is shown, not performed."""
    problems = examine_text(GOOD + '"\\x1b[31mred": 1\n', Path("/")).problems
    assert [problem.render("f") for problem in problems] == ["f:28:1: \\x1b[31mred: unknown key"]


def test_a_fault_of_the_document_does_not_hide_the_values():
    """A key that stands there twice, a tag, curly quotes and wrong values come in one run; the second value of a key is not judged."""
    text = GOOD.replace("realm: lbjwt", "realm: !env REALM\nrealm: 5").replace("workers: 1", "workers: many")
    text = text.replace("audiences: [api]", "audiences: [\u201capi\u201d]").replace("weight: 1", "weight: heavy")
    told = [(key_path_text(problem.path), problem.line) for problem in examine_text(text, Path("/")).problems]
    assert told == [
        ("issuers.main.audiences[0]", 7),
        ("clusters.main.endpoints[0].weight", 14),
        ("realm", 21),
        ("realm", 22),
        ("workers", 26),
    ]


def test_wrong_values_do_not_hide_what_is_wrong_with_the_files(tmp_path: Path):
    """Keys, certificates, directories and logs are looked into in the same run, each at its place in a file that is wrong everywhere else."""
    (tmp_path / "jwks.json").write_text("{}")
    (tmp_path / "short").write_text("short")
    text = """\
listeners:
  - {address: 127.0.0.1:x, tls: {certificate: absent.pem, private_key: absent.key}}
  - {address: 127.0.0.1:1, tls: {certificate: absent.pem}}
issuers:
  main: {issuer: 5, audiences: [api], jwks_file: jwks.json, clock_skew: 5}
  other: {audiences: [api], algorithms: [HS256], secret_file: short}
  third: {issuer: x, audiences: [api], pem_file: absent.pem, pem: x, raelm: 1}
  fourth: {issuer: y, audiences: [api], remote_jwks: {uri: "https://a.example", ca_file: absent.pem, timeout: 5}}
  fifth: {issuer: z, audiences: [api], algorithms: [none], secret_file: short}
clusters: {main: {endpoints: [], tls: {ca: absent.pem, certificate: absent.pem, private_key: absent.key}}}
revocation: {file: absent.jsonl, max_entries: many}
state_directory: absent/state
access_log: {path: absent/log, more: 1}
"""
    file = tmp_path / "lbjwt.yaml"
    file.write_text(text)
    problems = every_problem(examine_file(file))
    told = {(key_path_text(problem.path), problem.code) for problem in problems}
    files = {
        ("listeners[0].tls.certificate", "tls-files"),
        ("listeners[0].tls.private_key", "tls-files"),
        ("clusters.main.tls.ca", "tls-files"),
        ("clusters.main.tls.certificate", "tls-files"),
        ("clusters.main.tls.private_key", "tls-files"),
        ("issuers.main.jwks_file", "key-file"),
        ("issuers.other.secret_file", "key-file"),
        ("issuers.third.pem_file", "unreadable"),
        ("issuers.fourth.remote_jwks.ca_file", "tls-files"),
        ("revocation.file", "unreadable"),
        ("state_directory", "state-directory"),
        ("access_log.path", "access-log"),
    }
    assert files <= told, "\n".join(problem.render() for problem in problems)
    values = {
        "listeners[0].address", "listeners[1].tls.private_key", "issuers.main.issuer", "issuers.main.clock_skew", "issuers.other",
        "issuers.third.raelm", "issuers.fourth.remote_jwks.timeout", "issuers.fifth.algorithms[0]", "clusters.main.endpoints",
        "revocation.max_entries", "access_log.more",
    }  # fmt: skip
    assert values <= {path for path, _ in told}
    assert [problem.line for problem in problems] == sorted(problem.line or 0 for problem in problems)
    for command in ("check", "serve"):
        done = CliRunner().invoke(main, [command, str(file)])
        assert done.exit_code == 2
        assert all(f" {path}: " in done.stderr + done.stdout for path, _ in told)


def test_a_value_that_is_wrong_in_itself_is_told_once(tmp_path: Path):
    """A private key in the text has one error, not a second one from the look at what it holds."""
    text = GOOD.replace("jwks_file: jwks.json", "pem: '-----BEGIN PRIVATE KEY-----'").replace("tls: {", "# {")
    file = tmp_path / "lbjwt.yaml"
    file.write_text(text)
    assert [key_path_text(problem.path) for problem in every_problem(examine_file(file))] == ["issuers.main.pem"]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_of_a_mapping_is_one(name: str):
    """What is shown to somebody who wrote no mapping is read as the section it is for."""
    sections = {section.__name__: section for section in every_section(Section)}
    document = YAML(typ="safe").load(EXAMPLES[name])
    sections[name].model_validate(document, context=Source(Path("/")))


def test_every_mapping_has_an_example():
    """Whichever section of the configuration somebody wrote as something else, the message shows one."""
    names = {section.__name__ for section in every_section(Section) if not section.__subclasses__()}
    assert names - {"Configuration"} <= EXAMPLES.keys()


def every_section(section: type[Section]) -> Iterator[type[Section]]:
    for below in section.__subclasses__():
        yield below
        yield from every_section(below)


@pytest.mark.parametrize(
    "text", ["{}", "admin: {address: 127.0.0.1:9900}\n", "listeners: 5\nissuers: [a]\nclusters: {main: 3}\n"]
)
def test_a_file_without_the_required_sections_is_told_so(text: str, tmp_path: Path) -> None:
    """What is not there has no files to look into: it does not end the command."""
    file = tmp_path / "lbjwt.yaml"
    file.write_text(text)
    result = CliRunner().invoke(main, ["check", str(file)])
    assert result.exit_code == 2
    for key in ("listeners", "issuers", "clusters"):
        assert f": {key}" in result.stderr
