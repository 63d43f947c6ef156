"""Identity headers: THREATS P10 and P11."""

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth.identity import compile_identity_headers
from lbjwt.errors import ConfigurationError
from tests.unit.auth_tokens import NOW, claims, judged, token, verifier


def value_of(value: Any) -> bytes | None:
    """The field value one claim becomes; None when it cannot."""
    build = compile_identity_headers([("c", "X-C")])
    assert build is not None
    lines = build({"c": value})
    if lines is None:
        return None
    assert lines.startswith(b"X-C: ")
    assert lines.endswith(b"\r\n")
    assert lines.count(b"\n") == 1
    return lines[5:-2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("user-1", b"user-1"),
        ("", b""),
        ("Jane Doe", b"Jane Doe"),
        (" a ", b"%20a%20"),
        ("  ", b"%20%20"),
        ("100%", b"100%25"),
        ("a,b", b"a,b"),
        ("x\r\nX-Admin: 1", b"x%0D%0AX-Admin: 1"),
        ("\x00", b"%00"),
        ("\x7f\t", b"%7F%09"),
        ("\u0085", b"%C2%85"),
        ("J\u00fcrgen", b"J%C3%BCrgen"),
        ("\U0001f600", b"%F0%9F%98%80"),
        (5, b"5"),
        (-1.5, b"-1.5"),
        (True, b"true"),
        (False, b"false"),
        ([], b""),
        (["a", "b"], b"a,b"),
        (["a,b", "c d", 1, True], b"a%2Cb,c d,1,true"),
        (["\r\n"], b"%0D%0A"),
        ([" a", "b "], b"%20a,b%20"),
        ({}, None),
        ({"a": 1}, None),
        ([["a"]], None),
        ([None], None),
        ([{}], None),
    ],
)
def test_p10_claim_values(value: Any, expected: bytes | None):
    """Text, numbers, booleans and lists of them; everything else cannot be a header."""
    assert value_of(value) == expected


@given(st.text(max_size=60))
def test_p10_any_text_is_safe_and_comes_back(value: str):
    """Only visible ASCII and inner spaces go out, and percent-decoding gives the claim again."""
    encoded = value_of(value)
    assert encoded is not None
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert encoded.strip(b" ") == encoded
    assert unquote(encoded.decode(), errors="strict") == value


@given(st.lists(st.text(max_size=8), min_size=1, max_size=6))
def test_p10_any_list_comes_back(value: list[str]):
    """Split at commas, decode each member: the list again."""
    encoded = value_of(value)
    assert encoded is not None
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert [unquote(member, errors="strict") for member in encoded.decode().split(",")] == value


def test_p11_sizes_are_exact():
    """4 KiB for one value after encoding, 8 KiB for all lines."""
    assert value_of("x" * 4096) is not None
    assert value_of("x" * 4097) is None
    assert value_of("é" * 682) is not None
    assert value_of("é" * 683) is None
    assert value_of(["group"] * 682) is not None
    assert value_of(["group"] * 683) is None
    assert value_of("x" * 1_000_000) is None
    build = compile_identity_headers([("a", "A"), ("b", "B"), ("c", "C")])
    assert build is not None
    assert build({"a": "x" * 4000, "b": "x" * 4000, "c": "x" * (192 - 15)}) is not None
    assert build({"a": "x" * 4000, "b": "x" * 4000, "c": "x" * (192 - 14)}) is None


def test_missing_and_null_claims_leave_their_header_out():
    """What is not there is not said; the order is the configured one."""
    build = compile_identity_headers([("sub", "X-Sub"), ("tenant", "X-Tenant"), ("a.b", "X-AB")])
    assert build is not None
    assert build({"sub": "s", "tenant": None}) == b"X-Sub: s\r\n"
    assert build({}) == b""
    assert build({"a": {"b": 1}}) == b"", "dots have no meaning"
    assert build({"a.b": 1, "sub": "s"}) == b"X-Sub: s\r\nX-AB: 1\r\n"


@pytest.mark.parametrize(
    ("pairs"),
    [
        [("sub", "")],
        [("sub", "X Sub")],
        [("sub", "X_Sub")],
        [("sub", "X-Sub\r\nX")],
        [("sub", "X-Sub:")],
        [("sub", "-X")],
        [("sub", "X" * 65)],
        [("sub", "X-é")],
        [("", "X-Sub")],
        [("sub", "Authorization")],
        [("sub", "HOST")],
        [("sub", "Transfer-Encoding")],
        [("sub", "X-Forwarded-For")],
        [("sub", "X-A"), ("iss", "x-a")],
    ],
)
def test_impossible_header_names_cannot_be_configured(pairs: list[tuple[str, str]]):
    """Names that are no names, names of others, and one name twice."""
    with pytest.raises(ConfigurationError):
        compile_identity_headers(pairs)


def test_the_gate_puts_them_into_the_grant():
    """Ready-made bytes in the grant; a claim that cannot be a header refuses the token."""
    one = verifier(identity_headers=[("sub", "X-Jwt-Sub"), ("groups", "X-Jwt-Groups")])
    grant = one.verify(token(claims(groups=["a", "b"])), NOW).grant
    assert grant is not None
    assert grant.identity_headers == b"X-Jwt-Sub: user-1\r\nX-Jwt-Groups: a,b\r\n"
    assert judged(one.verify(token(claims(groups={"a": 1})), NOW)) == "UNREPRESENTABLE_CLAIM"
    assert judged(one.verify(token(claims(sub="x" * 5000)), NOW)) == "UNREPRESENTABLE_CLAIM"
    assert len(one.gate.cache) == 1
    plain = verifier().verify(token(), NOW).grant
    assert plain is not None
    assert plain.identity_headers == b""
