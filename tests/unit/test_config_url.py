"""URLs of the configuration: what keys may be fetched from, and what clients may be told (THREATS B8)."""

import pytest

from lbjwt.config.url import check_fetchable, is_loopback_url
from lbjwt.url import check_identifier

FETCHABLE = [
    "https://issuer.example/.well-known/jwks.json",
    "https://issuer.example:8443/keys?version=2",
    "http://127.0.0.1:8081/jwks",
    "http://[::1]:8081/jwks",
    "https://10.0.0.7/jwks",
    "https://issuer_1.internal/jwks",
    "https://login.example/{tenant}/keys",
    "https://{tenant}.login.example/keys",
    "https://1.2.3.4.example/jwks",
]

# Metadata services in every spelling that a resolver would take them in, and what is no place of keys at all.
REFUSED = [
    ("file:///etc/lbjwt/jwks.json", "must be an https URL"),
    ("data:application/json,{}", "https URL"),
    ("ftp://issuer.example/jwks", "https URL"),
    ("issuer.example/jwks", "https URL"),
    ("https://", "https URL"),
    ("https:///jwks", "https URL"),
    ("https://user@issuer.example/jwks", "user name"),
    ("https://:pass@issuer.example/jwks", "password"),
    ("https://issuer.example/jwks#keys", "fragment"),
    ("https://issuer.example/jwks#", "fragment"),
    ("https://issuer.example:99999/jwks", "must be a URL"),
    ("https://issuer.example:/jwks", "a name or an IP address"),
    ("https://issuer.example\\@evil.example/jwks", "backslash"),
    ("https://issuer.example/jw ks", "percent-encode spaces"),
    ("https://issüer.example/jwks", "ASCII letters"),
    ("https://issuer.example,evil.example/jwks", "a name or an IP address"),
    ("https://169.254.169.254/latest", "link-local"),
    ("https://[fe80::1]/jwks", "link-local"),
    ("https://[::ffff:169.254.169.254]/latest", "link-local"),
    ("https://[64:ff9b::a9fe:a9fe]/latest", "link-local"),
    ("https://[2002:a9fe:a9fe::1]/latest", "link-local"),
    ("https://2852039166/latest", "looks like an IPv4 address"),
    ("https://0xA9FEA9FE/latest", "looks like an IPv4 address"),
    ("https://0251.0376.0251.0376/latest", "looks like an IPv4 address"),
    ("https://169.254.43518/latest", "looks like an IPv4 address"),
    ("https://0xa9.0xfe.0xa9.0xfe/latest", "looks like an IPv4 address"),
    ("https://169.254.169.254./latest", "link-local"),
    ("https://100.100.100.200/latest", "cloud metadata"),
    ("https://[fd00:ec2::254]/latest", "cloud metadata"),
    ("https://metadata.google.internal/computeMetadata", "cloud metadata"),
    ("https://METADATA.google.internal./computeMetadata", "cloud metadata"),
    ("https://0.0.0.0/jwks", "must be the address of a single machine"),
    ("https://[::]/jwks", "must be the address of a single machine"),
    ("https://224.0.0.1/jwks", "must be the address of a single machine"),
]


@pytest.mark.parametrize("uri", FETCHABLE)
def test_keys_may_come_from(uri: str):
    """Public and private hosts, names and addresses, with a tenant or without."""
    assert check_fetchable(uri) == uri


@pytest.mark.parametrize(("uri", "part"), REFUSED)
def test_b8_keys_never_come_from(uri: str, part: str):
    """Other schemes, hidden hosts and the metadata of clouds are errors of the configuration, however they are spelt."""
    with pytest.raises(ValueError, match=part):
        check_fetchable(uri)


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("https://api.example/orders?x=1", "query"),
        ("https://api.example/?", "query"),
        ("http://api.example/orders", "plain http"),
        ("http://127.0.0.2/orders", "plain http"),
        ("urn:example:api", "https URL"),
        ("https://api.example/a#a", "fragment"),
        ("https://api.example/{tenant}", "URL punctuation"),
        ("https://api.example/[a]", "brackets"),
    ],
)
def test_clients_are_not_told(url: str, part: str):
    """What is compared to the letter has no query and no fragment, and is not plain http elsewhere than here."""
    with pytest.raises(ValueError, match=part):
        check_identifier(url)
    assert check_identifier("http://localhost:8080/mcp") == "http://localhost:8080/mcp"


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.9.9.9/", True),
        ("http://[::1]:80/", True),
        ("http://[::ffff:127.0.0.1]/", True),
        ("http://localhost/", True),
        ("http://localhost.example/", False),
        ("http://10.0.0.1/", False),
    ],
)
def test_loopback_is_this_machine(url: str, loopback: bool):
    """Plain http is for what never leaves the machine."""
    assert is_loopback_url(url) is loopback
