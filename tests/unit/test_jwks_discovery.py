"""What an issuer's metadata is believed to say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.keys.discovery import jwks_uri_of
from lbjwt.keys.errors import JWKSFetchError

ISSUER = "https://issuer.example/tenant"
KEYS = "https://keys.example/jwks"
PLACE = "https://issuer.example/tenant/.well-known/openid-configuration"


def told(document=None, *, issuer=ISSUER, allow_http=False, **members):
    text = document if document is not None else json.dumps({"issuer": ISSUER, "jwks_uri": KEYS, **members}).encode()
    return jwks_uri_of(text, issuer, place=PLACE, allow_http=allow_http)


def test_the_keys_may_be_anywhere_the_issuer_says():
    """Another https host is fine: large issuers have one for keys. Nothing else in the document matters."""
    assert told(token_endpoint="javascript:x", extra=[1, {"a": None}]) == KEYS


@pytest.mark.parametrize(
    "issuer",
    [
        "https://issuer.example/tenant/",
        "https://issuer.example/Tenant",
        "https://ISSUER.example/tenant",
        "HTTPS://issuer.example/tenant",
        "https://issuer.example:443/tenant",
        "https://issuer.example/tenant ",
        "https://issuer.example/ten%61nt",
        "https://issuer.example",
        "https://evil.example/tenant",
        "http://issuer.example/tenant",
        "",
        None,
        True,
        ["https://issuer.example/tenant"],
        {"https://issuer.example/tenant": 1},
    ],
)
def test_b20_a_document_of_another_issuer_is_not_believed(issuer):
    """Every character counts, a slash at the end and the case of the host too; the other issuer is not repeated."""
    with pytest.raises(JWKSFetchError, match="names an issuer other than") as caught:
        told(issuer=ISSUER, document=json.dumps({"issuer": issuer, "jwks_uri": KEYS}).encode())
    assert "evil" not in str(caught.value)
    assert str(caught.value).startswith(PLACE)


def test_b20_a_configured_slash_counts_too():
    """The other way round: configured with a slash, told without."""
    with pytest.raises(JWKSFetchError, match="names an issuer other than"):
        told(issuer=ISSUER + "/")
    assert (
        jwks_uri_of(json.dumps({"issuer": ISSUER + "/", "jwks_uri": KEYS}).encode(), ISSUER + "/", place=PLACE) == KEYS
    )


@pytest.mark.parametrize("document", [b"", b"<html>", b"[]", b"null", b'"x"', b"\xff", b'{"issuer":'], ids=repr)
def test_what_is_no_json_object(document):
    """HTML, other JSON, half of it."""
    with pytest.raises(JWKSFetchError, match="not a JSON object"):
        told(document)


def test_a_member_named_twice_is_no_json():
    """Two readers would see two issuers."""
    text = f'{{"issuer": "https://evil.example", "issuer": "{ISSUER}", "jwks_uri": "{KEYS}"}}'
    with pytest.raises(JWKSFetchError, match="not a JSON object"):
        told(text.encode())


@pytest.mark.parametrize("uri", [None, 5, [KEYS], {}, True])
def test_without_a_place_of_the_keys(uri):
    """The one member that is used must be a string."""
    with pytest.raises(JWKSFetchError, match="no jwks_uri"):
        told(jwks_uri=uri)


@pytest.mark.parametrize(
    "uri",
    [
        "file:///etc/passwd",
        "data:application/json,{}",
        "ftp://keys.example/jwks",
        "gopher://keys.example/",
        "//keys.example/jwks",
        "/jwks",
        "",
        "https://user:hush@keys.example/jwks",
        "https://keys.example\\@evil.example/",
        "https://keys.example/#x",
        "https://keys.example/" + "a" * 3000,
        "https://keys.example/ü",
    ],
)
def test_b8_the_place_of_the_keys_is_judged_like_every_other(uri):
    """No other scheme, no credentials, nothing that readers of URLs disagree about (THREATS B8)."""
    with pytest.raises(JWKSFetchError, match=r"the jwks_uri in https://issuer\.example/tenant/\.well-known") as caught:
        told(jwks_uri=uri)
    assert "hush" not in str(caught.value)


def test_b8_https_does_not_lead_to_http():
    """Not even to loopback, where other services of this machine listen; unless http is allowed, or the issuer itself is on loopback."""
    for uri in ("http://keys.example/jwks", "HTTP://keys.example/jwks", "http://127.0.0.1/jwks"):
        with pytest.raises(JWKSFetchError, match="http although the issuer is https"):
            told(jwks_uri=uri)
        assert told(jwks_uri=uri, allow_http=True) == uri
    local = json.dumps({"issuer": "http://127.0.0.1:1", "jwks_uri": "http://127.0.0.1:1/jwks"}).encode()
    assert jwks_uri_of(local, "http://127.0.0.1:1", place=PLACE) == "http://127.0.0.1:1/jwks"


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.binary(max_size=60)
    | st.fixed_dictionaries({}, optional={"issuer": JSON, "jwks_uri": JSON}).map(json.dumps).map(str.encode)
)
def test_no_document_raises_anything_else(document):
    """Random bytes and random members are a JWKSFetchError."""
    with pytest.raises(JWKSFetchError):
        told(document)
