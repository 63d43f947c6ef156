"""Where browsers are sent: the template decides, the client only fills in where it came from."""

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth.redirect import MAX_RETURN_URL, redirect_location, redirect_template
from lbjwt.errors import ConfigurationError

TEMPLATE = redirect_template("https://login.example/start?lang=en&return={url}&x=1")


def test_the_way_back_is_one_parameter():
    """The URL of the request, percent-encoded as a whole."""
    location = redirect_location(TEMPLATE, b"https", b"api.example:8443", b"/a/b?c=d&e=%2F")
    assert location == (
        b"https://login.example/start?lang=en&return=https%3A%2F%2Fapi.example%3A8443%2Fa%2Fb%3Fc%3Dd%26e%3D%252F&x=1"
    )


@given(
    st.binary(max_size=40),
    st.binary(max_size=80),
    st.sampled_from(
        [
            "https://login.example/start?return={url}",
            "/login?next={url}",
            "https://login.example#/in?r={url}",
            "/login",
            "https://login.example",
        ]
    ),
)
def test_no_client_decides_where_it_is_sent(host: bytes, target: bytes, text: str):
    """Whatever bytes come as host and target: same host, same path, visible ASCII only, and the way back comes out as it went in."""
    location = redirect_location(redirect_template(text), b"http", host, target).decode("ascii")
    assert all("!" <= character <= "~" for character in location)
    assert urlsplit(location)[:3] == urlsplit(text)[:3]
    before, _, after = text.partition("{url}")
    assert location.startswith(before) and location.endswith(after)
    if "next" in text:
        url = (b"http://" + host if host else b"") + target
        returned = parse_qs(urlsplit(location).query, keep_blank_values=True, encoding="latin-1")["next"]
        assert returned == [url.decode("latin-1")]


def test_long_ways_back_are_cut_down():
    """Past 4 KiB, encoded, only the root of the host is left."""
    fits = b"/" + b"a" * (MAX_RETURN_URL - len("https%3A%2F%2Fa.example%2F"))
    assert redirect_location(b"/l?u={url}", b"https", b"a.example", fits).endswith(b"aaa")
    assert redirect_location(b"/l?u={url}", b"https", b"a.example", fits + b"a") == b"/l?u=https%3A%2F%2Fa.example%2F"


def test_braces_of_a_client_are_no_place():
    """What a client sends is filled in once and never looked at again."""
    assert redirect_location(b"/l?u={url}", b"http", b"a", b"/{url}") == b"/l?u=http%3A%2F%2Fa%2F%7Burl%7D"


@pytest.mark.parametrize(
    "text",
    [
        *("", "login.example", "//login.example/?u={url}", "javascript:alert(1)//?{url}", "ftp://login.example/", "http://", "https:///x"),
        *("https://{url}/", "{url}", "/{url}", "https://login.example/{url}", "https://login.example{url}", "https://login.{url}?x"),
        *("/l?u={url}&v={url}", "/l?u={uri}", "/l?u={url", "/l?u=url}", "/l?u=%s{}"),
        *("https://user@login.example/?u={url}", "https://login.example\\@evil.example/", "/\\evil.example?u={url}"),
        *("/l?u={url}\r\nX-Evil: 1", "/l?u={url}\n", "/a b", "/é?u={url}", '/"?u={url}'),
    ],
)  # fmt: skip
def test_templates_that_are_none(text: str):
    """Neither a URL nor a path, a place that could decide the host, or characters that cannot stand in a URL."""
    with pytest.raises(ConfigurationError, match=r"URL|url|user name|name or an address"):
        redirect_template(text)
