"""`mode: authorize`: what goes together, what is not needed, and the file of the secret."""

from pathlib import Path

import pytest

from lbjwt.assembly.authorizers import new_authorizer, read_secrets, removed_headers
from lbjwt.checks.registry import every_problem
from lbjwt.config.load import examine_text, load_text
from lbjwt.errors import ConfigurationError
from tests.unit.broken_files import assert_told

GOOD = """\
listeners:
  - address: 127.0.0.1:9081
    mode: authorize
    authorize: {profile: nginx}
issuers: {main: {issuer: "https://issuer.example", audiences: [api], jwks_file: jwks.json}}
"""
CLUSTERS = "clusters: {main: {endpoints: [{address: 127.0.0.1:9001}]}}\n"
ELSEWHERE = Path("/etc/lbjwt")


@pytest.mark.parametrize(
    ("old", "new", "path", "part"),
    [
        ("    authorize: {profile: nginx}\n", "", "listeners[0].mode", "needs authorize with the profile"),
        ("    mode: authorize\n", "", "listeners[0].authorize", "no effect without mode: authorize"),
        ("mode: authorize", "mode: proxy", "listeners[0].authorize", "no effect without mode: authorize"),
        ("{profile: nginx}", "{}", "listeners[0].authorize.profile", "is required"),
        ("{profile: nginx}", "{profile: apache}", "listeners[0].authorize.profile", "nginx"),
        ("nginx}", "nginx, trusted_peers: []}", "listeners[0].authorize.trusted_peers", ""),
        ("nginx}", "nginx, secret_header: Authorization}", "listeners[0].authorize.secret_header", "fixed meaning"),
        ("nginx}", "envoy}\n    health: {path: /ready}", "listeners[0].health", "would let a request pass"),
        ("nginx}", "nginx}\n    health: {path: /}", "listeners[0].health", "/readyz"),
        (
            "nginx}",
            'nginx}\n    socket_mode: "0600"',
            "listeners[0].socket_mode",
            "no effect without address: unix:PATH",
        ),
        ("127.0.0.1:9081", "unix:a.sock\n    socket_mode: 0660", "listeners[0].socket_mode", "in quotes"),
        ("127.0.0.1:9081", 'unix:a.sock\n    socket_mode: "0888"', "listeners[0].socket_mode", "octal digits"),
        ("127.0.0.1:9081", '"unix:"', "listeners[0].address", "write the path"),
        (
            "127.0.0.1:9081\n    mode: authorize\n    authorize: {profile: nginx}",
            "unix:a.sock\n    mode: authorize\n    authorize: {profile: nginx, trusted_peers: [10.0.0.0/8]}",
            "listeners[0].authorize.trusted_peers",
            "has no effect on a Unix socket",
        ),
        (
            "  - address: 127.0.0.1:9081",
            "  - {address: unix:a.sock, mode: authorize, authorize: {profile: envoy}}\n  - address: unix:a.sock",
            "listeners",
            "two listeners have the address unix:/etc/lbjwt/a.sock",
        ),
        ("issuers:", "routes: [{name: a, cluster: main}]\nissuers:", "routes[0].cluster", "there is no cluster main"),
        ("issuers:", "  - address: 127.0.0.1:8080\nissuers:", "clusters", "is required"),
        ("issuers:", "  - address: 127.0.0.1:8080\nclusters: {}\nissuers:", "clusters", "needs a cluster"),
    ],
)
def test_what_does_not_go_together_is_told(old: str, new: str, path: str, part: str) -> None:
    assert_told(GOOD + CLUSTERS if path == "listeners[0].authorize" else GOOD, old, new, path, part)


def test_no_cluster_is_needed_where_nothing_is_forwarded() -> None:
    """With routes or without."""
    for more in ("", "routes: [{name: a, prefix: /a}]\n", "clusters: {}\n"):
        configuration = load_text(GOOD + more, ELSEWHERE)
        assert configuration.clusters == {} and configuration.only_cluster == ""


@pytest.mark.parametrize(
    ("content", "count"),
    [(b"0123456789abcdef", 1), (b"0123456789abcdef\n", 1), (b"\n0123456789abcdef\r\nfedcba9876543210\n", 2)],
)
def test_a_file_has_one_or_two_secrets(tmp_path: Path, content: bytes, count: int) -> None:
    (tmp_path / "secret").write_bytes(content)
    assert len(read_secrets(tmp_path / "secret")) == count


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "one or two"), (b"a" * 16 + b"\n" + b"b" * 16 + b"\n" + b"c" * 16, "one or two"), (b"short", "16"), (b"a b" * 10, "spaces"),
        (b"\xc3\xa9" * 16, "ASCII"), (b"a" * 5000, "one or two"), (None, "cannot read"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_used_is_refused(tmp_path: Path, content: bytes | None, part: str) -> None:
    """At the start and by `lbjwt check`, with its place and without its content."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    text = GOOD.replace("nginx}", "nginx, secret_file: secret}")
    configuration = load_text(text, tmp_path)
    with pytest.raises(ConfigurationError) as caught:
        new_authorizer(configuration, configuration.listeners[0], "listeners[0]")
    assert str(caught.value).startswith("listeners[0].authorize.secret_file: ") and part in str(caught.value)
    (tmp_path / "jwks.json").write_text("{}")
    (told,) = [one for one in every_problem(examine_text(text, tmp_path)) if one.code == "peer-secret"]
    assert part in told.message and "short" not in told.message


def test_a_secret_that_everybody_may_read_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("0123456789abcdef")
    (tmp_path / "secret").chmod(0o644)
    examination = examine_text(GOOD.replace("nginx}", "nginx, secret_file: secret}"), tmp_path)
    assert "secret-open" in {one.code for one in every_problem(examination)}


@pytest.mark.parametrize(
    ("more", "removed"),
    [
        ("", []),
        ("forward_token: false\n", ["Authorization"]),
    ],
)
def test_the_headers_of_tokens_that_are_not_passed_on(more: str, removed: list[str]) -> None:
    assert removed_headers(load_text(GOOD + more, ELSEWHERE)) == removed


def test_a_location_can_say_it_for_itself() -> None:
    places = "from_headers: [{name: X-Token, scheme: '', forward: false}, {name: Authorization, forward: true}]"
    configuration = load_text(GOOD.replace("audiences:", f"{places}, audiences:"), ELSEWHERE)
    assert removed_headers(configuration) == ["X-Token"]
