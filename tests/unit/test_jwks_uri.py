"""The URLs that keys come from: what is refused by its text alone, where redirects may lead, where metadata is looked for."""

import pytest
import yarl
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.keys.errors import JWKSFetchError
from lbjwt.keys.uri import discovery_uris, examine, identity_of, place_of, redirected
from lbjwt.url import MAX_URL

HERE = "https://issuer.example/a/jwks?key=hush"


@pytest.mark.parametrize(
    "uri",
    [
        "https://issuer.example/jwks",
        "https://issuer.example",
        "https://issuer.example:8443/jwks?tenant=a&b=%2F",
        "http://127.0.0.1:8081/jwks",
        "https://[2001:db8::1]:8443/jwks",
        "HTTPS://Issuer.Example/jwks",
        "https://issuer_1.example/x",
    ],
)
def test_urls_that_may_be_fetched(uri):
    """With a scheme, a plain host and whatever path."""
    assert examine(uri).hostname == uri.partition("://")[2].partition("/")[0].rsplit(":8")[0].strip("[]:").lower()


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "ftp://issuer.example/x",
        "data:,x",
        "jwks.json",
        "",
        "//issuer.example/jwks",
        "https:issuer.example/jwks",
        "https:///jwks",
        "https://:443/jwks",
        "https://user@issuer.example/jwks",
        "https://user:hush@issuer.example/jwks",
        "https://@issuer.example/jwks",
        "https://good.example\\@evil.example/jwks",
        "https://good.example\\.evil.example/jwks",
        "https://issuer.example/jwks#part",
        "https://issuer.example/a b",
        "https://issuer.example/a\nb",
        "https://issuer.example\t/a",
        "https://issuer.example/\0",
        "https://issüer.example/",
        "https://issuer.example/ü",
        "https://issuer.example:99999/",
        "https://issuer.example:x/",
        "https://[::1/",
        "https://[fe80::1%25eth0]/",
        "https://a,b/",
        "https://a%2eb/",
        "https://issuer.example/" + "a" * MAX_URL,
    ],
)
def test_b8_urls_that_are_refused_by_their_text(uri):
    """Other schemes, no host, credentials, fragments, and whatever two readers could read as two hosts (THREATS B8); the text is not repeated."""
    with pytest.raises(JWKSFetchError, match="the JWKS URL cannot be used") as caught:
        examine(uri)
    assert "hush" not in str(caught.value)
    assert not uri or uri not in str(caught.value)


@given(st.text(st.sampled_from("htps:/@\\.#?[]%evil1 \t\né"), max_size=24))
def test_what_passes_has_one_host_for_every_reader(rest):
    """The URL library of the HTTP client sees the host and port that we saw."""
    uri = f"https://{rest}"
    try:
        parts = examine(uri)
    except JWKSFetchError:
        return
    there = yarl.URL(uri)
    assert there.host == parts.hostname
    assert there.user is None
    assert there.port == (parts.port or 443)


def test_place_and_identity_hold_no_secret():
    """A query is left out of messages and stands on disk as a digest; two queries are two places."""
    assert place_of("https://user:hush@issuer.example:8/jwks?key=hush#x") == "https://issuer.example:8/jwks"
    one, two = identity_of(uri=HERE), identity_of(uri=HERE + "2")
    assert one != two
    assert "hush" not in one
    assert one.startswith("https://issuer.example/a/jwks?sha256=")
    assert identity_of(uri="https://issuer.example/jwks") == "https://issuer.example/jwks"
    assert identity_of(issuer="https://issuer.example/jwks") != identity_of(uri="https://issuer.example/jwks")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/keys", "https://issuer.example/keys"),
        ("keys", "https://issuer.example/a/keys"),
        ("../keys?x=1", "https://issuer.example/keys?x=1"),
        ("?v=2", "https://issuer.example/a/jwks?v=2"),
        ("https://issuer.example/keys", "https://issuer.example/keys"),
        ("https://ISSUER.example:443/keys", "https://issuer.example/keys"),
        ("https://issuer.example", "https://issuer.example/"),
        ("//issuer.example/keys", "https://issuer.example/keys"),
        ("/keys#part", "https://issuer.example/keys"),
        ("https://issuer.example//evil.example/x", "https://issuer.example//evil.example/x"),
        ("/@evil.example/x", "https://issuer.example/@evil.example/x"),
        ("///evil.example/x", "https://issuer.example/evil.example/x"),  # an empty host: ours, and the rest is a path
    ],
)
def test_a_redirect_on_the_origin(location, target):
    """Relative and absolute references of the same scheme, host and port; a fragment is dropped."""
    assert redirected(HERE, location) == target


@pytest.mark.parametrize(
    "location",
    [
        "http://issuer.example/keys",
        "https://evil.example/keys",
        "//evil.example/keys",
        "https://issuer.example:8443/keys",
        "https://issuer.example.evil.example/keys",
        "https://issuer.example@evil.example/keys",
        "https://user@issuer.example/keys",
        "\\\\evil.example\\keys",
        "/\\evil.example/keys",
        "https:\\\\evil.example/keys",
        "https://sub.issuer.example/",
        "https://issuer.example./keys",
        "file:///etc/passwd",
        "data:,x",
        "javascript:x",
        "https://issuer.example:x/",
        "https://[::1/",
        "/a b",
        "/ü",
        "/\r\nX: 1",
        "",
        "/" + "a" * MAX_URL,
    ],
)
def test_b7_a_redirect_elsewhere(location):
    """Another scheme, host or port, credentials, and what readers of URLs disagree about (THREATS B7)."""
    with pytest.raises(JWKSFetchError, match="redirect") as caught:
        redirected(HERE, location)
    assert "hush" not in str(caught.value)


def test_b7_a_downgrade_is_another_origin():
    """From https to http on the same host."""
    with pytest.raises(JWKSFetchError, match="another origin"):
        redirected("https://issuer.example:8080/x", "http://issuer.example:8080/x")


@given(st.text(st.sampled_from("htps:/@\\.#?[]%evil1 \t\né"), max_size=24))
def test_no_redirect_leaves_the_origin(location):
    """Whatever a server writes: refused, or a URL that begins with our own origin and has that very host for the HTTP client too."""
    try:
        target = redirected(HERE, location)
    except JWKSFetchError:
        return
    assert target.startswith("https://issuer.example/")
    assert yarl.URL(target).host == "issuer.example"


@pytest.mark.parametrize(
    ("issuer", "first", "second"),
    [
        (
            "https://issuer.example",
            "https://issuer.example/.well-known/openid-configuration",
            "https://issuer.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://issuer.example/",
            "https://issuer.example/.well-known/openid-configuration",
            "https://issuer.example/.well-known/oauth-authorization-server",
        ),
        (
            "https://issuer.example:8443/tenant/v2.0",
            "https://issuer.example:8443/tenant/v2.0/.well-known/openid-configuration",
            "https://issuer.example:8443/.well-known/oauth-authorization-server/tenant/v2.0",
        ),
        (
            "https://issuer.example/tenant/",
            "https://issuer.example/tenant/.well-known/openid-configuration",
            "https://issuer.example/.well-known/oauth-authorization-server/tenant",
        ),
    ],
)
def test_where_metadata_is_looked_for(issuer, first, second):
    """Behind the path (OpenID Connect) and before it (RFC 8414), without a slash at the end."""
    assert discovery_uris(issuer) == (first, second)


@pytest.mark.parametrize("issuer", ["https://i.example/?a=1", "https://i.example/?", "https://i.example/#", "me", ""])
def test_issuers_that_cannot_be_asked(issuer):
    """No URL, or one with a query or a fragment."""
    with pytest.raises(JWKSFetchError, match="an issuer with discovery"):
        discovery_uris(issuer)
