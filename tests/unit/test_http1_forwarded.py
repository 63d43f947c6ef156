"""The Forwarded field of RFC 7239, beside or in place of X-Forwarded-*."""

import pytest

from lbjwt.http1._request import Parse, RequestHead, RequestPolicy
from tests.corpus.http1_requests import get
from tests.unit.http1_readers import request_by_httptools

POLICIES = {mode: RequestPolicy(forwarded_headers=mode) for mode in ("x-forwarded", "forwarded", "both")}


def sent(wire: bytes, mode: str, *, peer: bytes = b"192.0.2.1", trusted: bool = True) -> dict[bytes, list[bytes]]:
    """Values of the fields about the client that an endpoint gets, by name."""
    head = RequestHead()
    assert head.parse_bytes(wire, POLICIES[mode]) == Parse.COMPLETE
    found: dict[bytes, list[bytes]] = {}
    for name, value in request_by_httptools(head.write_bytes(POLICIES[mode], peer=peer, trusted=trusted))[2]:
        if b"forwarded" in name:
            found.setdefault(name, []).append(value)
    return found


def test_the_key_chooses_the_fields():
    """X-Forwarded-* alone by default; Forwarded alone; or both."""
    theirs = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"}
    for mode, names in (("x-forwarded", theirs), ("forwarded", {b"forwarded"}), ("both", theirs | {b"forwarded"})):
        assert set(sent(get(), mode)) == names


@pytest.mark.parametrize(
    ("peer", "node"),
    [
        (b"192.0.2.1", b"192.0.2.1"),
        (b"2001:db8::1", b'"[2001:db8::1]"'),
        (b"::ffff:192.0.2.1", b'"[::ffff:192.0.2.1]"'),
        (b"unix", b"unknown"),
        (b"", b"unknown"),
    ],
)
def test_the_element_names_client_scheme_and_host(peer: bytes, node: bytes):
    """IPv6 stands in brackets and quotes; a peer without an address is unknown (RFC 7239 sections 4 and 6)."""
    wire = get(host=b"Host: Example.com:8080\r\n")
    expected = b"for=" + node + b';proto=http;host="Example.com:8080"'
    assert sent(wire, "forwarded", peer=peer)[b"forwarded"] == [expected]
    assert sent(b"GET / HTTP/1.0\r\n\r\n", "both", peer=peer)[b"forwarded"] == [b"for=" + node + b";proto=http"]


OURS = b'for=192.0.2.1;proto=http;host="example.com"'


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ((b"Forwarded: for=9.9.9.9;proto=https",), b"for=9.9.9.9;proto=https, " + OURS),
        ((b"Forwarded: for=a, for=b", b"forwarded: for=_c"), b"for=a, for=b, for=_c, " + OURS),
        ((b'Forwarded: for="[::1]";by="a\\"b"', b"X-Forwarded-For: 1.1.1.1"), b'for="[::1]";by="a\\"b", ' + OURS),
        ((b'Forwarded: for="9.9.9.9',), OURS),
        ((b'Forwarded: for="9.9.9.9\\"',), OURS),
        ((b"Forwarded:",), OURS),
        ((b"X-Forwarded-For: 9.9.9.9",), b"for=9.9.9.9, " + OURS),
        (
            (
                b"X-Forwarded-For: ::1, 1.1.1.1:80, [::2]:443, secret, a;b",
                *(b"X-Forwarded-Proto: https", b"X-Forwarded-Host: www.example"),
            ),
            b'for="[::1]", for="1.1.1.1:80", for="[::2]:443", for=unknown, for=unknown;proto=https;host="www.example", '
            + OURS,
        ),
        ((b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-Proto: x;y", b'X-Forwarded-Host: a"b'), b"for=1.1.1.1, " + OURS),
        ((b"X-Forwarded-Proto: https",), OURS),
    ],
)
def test_elements_of_trusted_proxies_come_first(lines: tuple[bytes, ...], expected: bytes):
    """Their Forwarded, or their X-Forwarded-* in its form; a value whose quotes do not end would swallow ours and is left out."""
    assert sent(get(*lines), "forwarded")[b"forwarded"] == [expected]
    assert sent(get(*lines), "both")[b"forwarded"] == [expected]
    assert sent(get(*lines), "forwarded", trusted=False)[b"forwarded"] == [OURS]
    assert b"forwarded" not in sent(get(*lines), "x-forwarded", trusted=False)


def test_an_old_chain_in_the_new_form_has_an_end():
    """Of X-Forwarded-For the newest 29 entries are told, however short they are."""
    wire = get(b"X-Forwarded-For: " + b",".join([b"::"] * 10000))
    assert sent(wire, "both")[b"forwarded"] == [b", ".join([b'for="[::]"'] * 29 + [OURS])]
