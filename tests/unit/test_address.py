"""Addresses: every spelling, its canonical form, and the sentence for what is none."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.address import Address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8080", Address("127.0.0.1", 8080)),
        ("localhost:80", Address("localhost", 80)),
        ("backend_1.internal.:9001", Address("backend_1.internal.", 9001)),
        (":8080", Address("", 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("[::1]:8080", Address("::1", 8080)),
        ("unix:/run/app.sock", Address(path="/run/app.sock")),
        ("unix:a:80", Address(path="a:80")),
    ],
)
def test_addresses_are_read_and_written(text: str, address: Address):
    """Each form becomes its parts and comes back as it was."""
    assert Address.parse(text) == address
    assert str(address) == text


def test_ipv6_addresses_have_one_form():
    """Two spellings of one IPv6 address are one address."""
    assert Address.parse("[0:0::0:1]:80") == Address.parse("[::1]:80")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "HOST:PORT"),
        ("8080", 'did you mean ":8080"'),
        ("localhost", "HOST:PORT"),
        ("localhost:", "port"),
        ("localhost:http", "port"),
        ("localhost:65536", "port"),
        ("localhost:-1", "port"),
        ("localhost:٨٠", "port"),
        ("localhost:80 ", "port"),
        (" localhost:80", "name or an IP"),
        ("::1:80", "brackets"),
        ("[::1]", "port"),
        ("[::1:80", "brackets"),
        ("[localhost]:80", "IPv6"),
        ("[fe80::1%eth0/x]:80", "IPv6"),
        ("256.0.0.1:80", "looks like an IPv4"),
        ("10.1:80", "looks like an IPv4"),
        ("*:80", ":PORT"),
        ("a/b:80", "name or an IP"),
        ("-a:80", "name or an IP"),
        ("a..b:80", "name or an IP"),
        ("a" * 64 + ":80", "name or an IP"),
        ("user@host:80", "name or an IP"),
        ("unix:", "path"),
        ("unix:" + "a" * 108, "107"),
        ("unix:a\0b", "NUL"),
    ],
)
def test_bad_addresses_are_refused(text: str, part: str):
    """The sentence tells what an address is like."""
    with pytest.raises(ValueError, match=re.escape(part)):
        Address.parse(text)


@pytest.mark.parametrize(
    ("text", "loopback"),
    [
        ("127.0.0.1:1", True),
        ("127.9.9.9:1", True),
        ("[::1]:1", True),
        ("LocalHost:1", True),
        ("unix:/x", True),
        (":1", False),
        ("0.0.0.0:1", False),
        ("10.0.0.1:1", False),
        ("localhost.example:1", False),
    ],
)
def test_loopback(text: str, loopback: bool):
    """Only what this machine alone can reach counts as loopback; a name of another zone does not."""
    assert Address.parse(text).is_loopback is loopback


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_an_address_error(text: str):
    """No text makes the reader fail in another way, and what it accepts it reads back as the same."""
    try:
        address = Address.parse(text)
    except ValueError:
        return
    assert Address.parse(str(address)) == address
