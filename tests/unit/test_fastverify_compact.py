"""The scanner of tokens: base64url and JSON against strict models."""

import base64
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbjwt._compact import parse_base64url, parse_object
from tests.harness.examples import examples

ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def model_base64url(text: bytes) -> bytes | None:
    """The only spelling of a value is the one an encoder writes."""
    if any(byte not in ALPHABET for byte in text) or len(text) % 4 == 1:
        return None
    value = base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))
    return value if base64.urlsafe_b64encode(value).rstrip(b"=") == text else None


def model_object(text: bytes) -> dict[str, Any] | None:
    """The standard library, held to RFC 8259 and our limits."""

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("duplicate")
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    def whole(text: str) -> int | float:
        if len(text) > 40:
            raise ValueError(text)
        return int(text) if -(2**63) <= int(text) < 2**64 else float(text)

    def fraction(text: str) -> float:
        if len(text) > 40 or len(text.lower().partition("e")[2].lstrip("+-")) > 3 or math.isinf(float(text)):
            raise ValueError(text)
        return float(text)

    def depth(value: Any) -> int:
        if isinstance(value, dict):
            return 1 + max((depth(item) for item in value.values()), default=0)
        return 1 + max((depth(item) for item in value), default=0) if isinstance(value, list) else 0

    try:
        value = json.loads(
            text.decode("utf-8", "strict"),
            object_pairs_hook=members,
            parse_constant=refuse,
            parse_int=whole,
            parse_float=fraction,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # no lone surrogate
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and depth(value) <= 32 else None


@given(st.binary(max_size=40))
def test_base64url_reads_what_an_encoder_writes(value: bytes):
    """Every value comes back from its canonical spelling."""
    assert parse_base64url(base64.urlsafe_b64encode(value).rstrip(b"=")) == value


@given(st.one_of(st.binary(max_size=12), st.text(alphabet="AQgw09-_=+/ \n.é", max_size=12).map(str.encode)))
def test_base64url_agrees_with_the_strict_model(text: bytes):
    """Anything else is refused exactly where the model refuses it."""
    assert parse_base64url(text) == model_base64url(text)


def test_base64url_has_one_spelling_for_each_short_value():
    """Of all texts of two and three characters, exactly those with zero left-over bits are read."""
    accepted = sum(parse_base64url(bytes((a, b))) is not None for a in range(256) for b in range(256))
    assert accepted == 256
    accepted = sum(parse_base64url(bytes((65, a, b))) is not None for a in ALPHABET for b in ALPHABET)
    assert accepted == 64 * 16


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=4), JSON, max_size=5), st.booleans())
def test_json_objects_are_read_like_the_model_reads_them(value: dict[str, Any], escape: bool):
    """What a writer writes is read with the same meaning, escaped or not."""
    text = json.dumps(value, ensure_ascii=escape).encode()
    assert parse_object(text) == model_object(text) == value


@settings(max_examples=examples(400))
@given(st.data())
def test_mutated_json_gets_the_models_verdict(data: st.DataObject):
    """One edit to a valid text: both readers refuse it, or both read the same."""
    value = data.draw(st.dictionaries(st.text(alphabet='ab"\\{é', max_size=2), JSON, max_size=3))
    text = bytearray(json.dumps(value).encode())
    at = data.draw(st.integers(0, len(text)))
    text[at : at + data.draw(st.integers(0, 1))] = data.draw(
        st.sampled_from([b"", b'"', b"\\", b"{", b"}", b",", b":", b"0", b"\xff", b" ", b"e"])
    )
    assert parse_object(bytes(text)) == model_object(bytes(text))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(['"a"', '"\\u0061"', '"b"', '"A"', '"a\\u0000"', '""']),
            st.sampled_from(["1", "{}", '{"a":1}', "[]"]),
        ),
        max_size=4,
    )
)
def test_a19_duplicate_names_are_found_like_the_model_finds_them(pairs: list[tuple[str, str]]):
    """Names are compared decoded, per object, at every level."""
    inner = "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
    for text in (inner, f'{{"x":[{inner}]}}', f'{{"a":{inner},"b":1}}'):
        assert parse_object(text.encode()) == model_object(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b'"alg"',
        b"1",
        b"null",
        b"\xef\xbb\xbf{}",
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-be"),
        '{"a":1}'.encode("utf-32-le"),
        b'{"a":"\xc0\xaf"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"\\udc00":1}',
        b'{"a":1}{}',
        b'{"a":1}\x00',
        b"{'a':1}",
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":"\n"}',
        b'{"a":1,}',
        b"}{",
        b'{"a":"\\',
        b'{"a',
    ],
)
def test_a24_text_that_is_no_utf8_json_object_is_refused(text: bytes):
    """UTF-16, UTF-32, marks, overlong forms, lone surrogates and loose syntax are no JSON for us."""
    assert parse_object(text) is None


def test_every_prefix_of_an_object_is_refused():
    """Cut anywhere, an object is none; whole, and with white space around it, it is."""
    text = b'{"a":[1,{"b":"\\u00e9\\\\"}],"c":-1.5e3,"d":true}'
    assert all(parse_object(text[:size]) is None for size in range(len(text)))
    assert parse_object(text) == parse_object(b" " + text + b"\r\n") is not None


@pytest.mark.parametrize("levels", [32, 33, 100, 1000, 8000])
def test_a20_depth_is_bounded_before_parsing(levels: int):
    """32 levels are read, 33 are not, and neither are thousands."""
    for text in (b'{"a":' * levels + b"1" + b"}" * levels, b'{"a":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"):
        assert (parse_object(text) is not None) == (levels <= 32)


@pytest.mark.parametrize(
    ("number", "fine"),
    [
        ("9007199254740992", True),
        ("1.5e308", True),
        ("-0.000001e-10", True),
        ("1e1000000000", False),
        ("1e-1000", False),
        ("1" * 40, True),
        ("1" * 41, False),
        ("0." + "1" * 39, False),
        ("1" * 1_000_000, False),
    ],
)
def test_a21_numbers_are_bounded_in_digits_and_exponent(number: str, fine: bool):
    """A number nobody needs is refused before anybody has to compute it."""
    assert (parse_object(f'{{"a":{number}}}'.encode()) is not None) == fine


def test_text_inside_strings_does_not_count():
    """Brackets, commas, quotes and digits inside a string are text."""
    text = json.dumps({"a": '[[{{,\\"' * 40 + "1" * 100, "b\\": ',"x":'}).encode()
    assert parse_object(text) == json.loads(text)
