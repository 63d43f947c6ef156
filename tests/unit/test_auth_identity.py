"""Identity headers: THREATS P4, P10 and P11."""

import base64
import json
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth.identity import IdentityHeader, compile_identity_headers
from lbjwt.errors import ConfigurationError
from tests.unit.auth_tokens import NOW, claims, judged, token, verifier


def value_of(value: Any, **entry: Any) -> bytes | None:
    """The field value one claim becomes; None when it cannot."""
    build = compile_identity_headers([IdentityHeader(header="X-C", path=("c",), **entry) if entry else ("c", "X-C")])
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
        ({}, b"{}"),
        ({"a": 1, "b": [None, True]}, b'{"a":1,"b":[null,true]}'),
        ({"a": "\r\né%\x7f"}, b'{"a":"\\r\\n\\u00e9\\u0025\\u007f"}'),
        ([["a"]], None),
        ([None], None),
        ([{}], None),
    ],
)
def test_p10_claim_values(value: Any, expected: bytes | None):
    """Text, numbers, booleans, lists of them, and objects; a list of anything else cannot be a header."""
    assert value_of(value) == expected
    assert value_of(value, style="auto") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a,b", b"a%2Cb"),
        (["a,b", "c"], b"a%2Cb,c"),
        ("x\ny", b"x%0Ay"),
        (5, b"5"),
        (True, b"true"),
        ([], b""),
        ({}, None),
        ({"a": 1}, None),
        ([["a"]], None),
        ([None], None),
    ],
)
def test_p10_a_comma_list_splits_the_same_way_for_one_and_for_many(value: Any, expected: bytes | None):
    """In style comma a claim alone is a list of one, so that its commas are encoded too; an object is no list."""
    assert value_of(value, style="comma") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("user-1", b"user-1"),
        ("Jane Doe", b"Jane Doe"),
        ("100%", b"100%"),
        ("a,b", b"a,b"),
        (5, b"5"),
        (["a", "b"], b"a,b"),
        ("", b""),
        (" a", None),
        ("a ", None),
        ("é", None),
        ("a\r\nX-Admin: 1", None),
        ("\x00", None),
        ("\x7f", None),
        ("\t", None),
        (["a,b"], None),
        (["a", " b"], None),
        (["é"], None),
        ({"a": "é"}, b'{"a":"\\u00e9"}'),
    ],
)
def test_p10_refusing_what_cannot_stand_as_it_is(value: Any, expected: bytes | None):
    """With unrepresentable: refuse nothing is encoded, so that a backend need not decode; what would need it refuses the token."""
    assert value_of(value, unrepresentable="refuse") == expected


JSON_VALUES = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(st.one_of(inner, st.none()), max_size=3),
        st.dictionaries(st.text(max_size=4), st.one_of(inner, st.none()), max_size=3),
    ),
    max_leaves=6,
)


@given(JSON_VALUES)
def test_p10_json_is_one_line_and_reads_the_same_decoded_or_not(value: Any):
    """Any value in style json is visible ASCII, and percent-decoding it first changes nothing."""
    encoded = value_of(value, style="json")
    assert encoded is not None
    assert all(0x20 <= byte <= 0x7E for byte in encoded)
    assert encoded.strip(b" ") == encoded
    assert json.loads(encoded) == value
    assert json.loads(unquote(encoded.decode(), errors="strict")) == value


@given(JSON_VALUES, st.sampled_from(["auto", "comma", "json"]), st.sampled_from(["encode", "refuse"]))
def test_p10_no_value_in_no_style_breaks_out_of_its_line(value: Any, style: str, unrepresentable: str):
    """Whatever a claim holds, its header is one line of visible ASCII without outer spaces, or the token is refused."""
    encoded = value_of(value, style=style, unrepresentable=unrepresentable)
    assert encoded is None or all(0x20 <= byte <= 0x7E for byte in encoded)
    assert encoded is None or encoded.strip(b" ") == encoded


@given(st.dictionaries(st.text(max_size=6), JSON_VALUES, max_size=4))
def test_p10_the_whole_payload_is_base64url(claims: dict[str, Any]):
    """Unpadded, and the very claims that were judged come out of it."""
    build = compile_identity_headers([IdentityHeader(header="X-Payload", path=(), style="payload")])
    assert build is not None
    lines = build(claims)
    assert lines is not None
    value = lines[len(b"X-Payload: ") : -2]
    assert set(value) <= set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert json.loads(base64.urlsafe_b64decode(value + b"=" * (-len(value) % 4))) == claims


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


def test_p11_limits_can_be_set():
    """Both limits are exact in every style, and neither is without one."""
    for style, value, size in (
        ("auto", "x" * 100, 100),
        ("auto", "é" * 10, 60),
        ("auto", ["ab"] * 10, 29),
        ("comma", "," * 10, 30),
        ("json", "x" * 98, 100),
        ("json", {"a": ["%"]}, 16),
    ):
        entry = IdentityHeader(header="X-C", path=("c",), style=style)
        for limit, total, fits in (
            (size, 8192, True),
            (size - 1, 8192, False),
            (8192, size + 7, True),
            (8192, size + 6, False),
        ):
            build = compile_identity_headers([entry], max_value=limit, max_total=total)
            assert build is not None
            assert (build({"c": value}) is not None) == fits
    payload = IdentityHeader(header="X-P", path=(), style="payload")
    for limit, fits in ((14, True), (13, False)):
        build = compile_identity_headers([payload], max_value=limit)
        assert build is not None
        assert (build({"a": "bc"}) is not None) == fits
    big = compile_identity_headers([("a", "X-A")], max_value=65536, max_total=65536)
    assert big is not None
    assert big({"a": "x" * 60_000}) is not None
    for limits in ({"max_value": 0}, {"max_total": 0}, {"max_value": 65537}, {"max_total": 65537}):
        with pytest.raises(ConfigurationError):
            compile_identity_headers([("a", "X-A")], **limits)


def test_paths_lead_inward():
    """Each name of a path is a whole name, dots and addresses included; only objects have members."""
    build = compile_identity_headers(
        [
            IdentityHeader(header="X-Roles", path=("realm_access", "roles")),
            IdentityHeader(header="X-Tenant", path=("https://x.example/claims", "tenant.id")),
        ]
    )
    assert build is not None
    assert build({"realm_access": {"roles": ["a", "b"]}, "https://x.example/claims": {"tenant.id": 5}}) == (
        b"X-Roles: a,b\r\nX-Tenant: 5\r\n"
    )
    for other in (
        {},
        {"realm_access": None},
        {"realm_access": ["roles"]},
        {"realm_access": "roles"},
        {"realm_access.roles": ["a"]},
    ):
        assert build(other) == b""


def test_p4_a_missing_claim_leaves_its_header_out_in_every_style():
    """No empty field stands for a claim that is not there: an empty value is the claim's own."""
    for style in ("auto", "json", "comma"):
        build = compile_identity_headers([IdentityHeader(header="X-C", path=("a", "c"), style=style)])
        assert build is not None
        for missing in ({}, {"a": {}}, {"a": {"c": None}}, {"a": None}, {"a": "c"}):
            assert build(missing) == b""
        assert build({"a": {"c": ""}}) == (b'X-C: ""\r\n' if style == "json" else b"X-C: \r\n")


@pytest.mark.parametrize(
    "entry",
    [
        {"path": ()},
        {"path": (), "style": "json"},
        {"path": ("a",), "style": "payload"},
        {"path": ("a", "")},
        {"header": "Cookie"},
        {"header": "X_A"},
    ],
)
def test_impossible_entries_cannot_be_made(entry: dict[str, Any]):
    """The payload has the empty path, and everything else a claim and a way to write it."""
    with pytest.raises(ConfigurationError):
        IdentityHeader(**({"header": "X-A", "path": ("a",)} | entry))


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
    assert judged(one.verify(token(claims(groups=[{"a": 1}])), NOW)) == "UNREPRESENTABLE_CLAIM"
    assert judged(one.verify(token(claims(sub="x" * 5000)), NOW)) == "UNREPRESENTABLE_CLAIM"
    assert len(one.gate.cache) == 1
    plain = verifier().verify(token(), NOW).grant
    assert plain is not None
    assert plain.identity_headers == b""
