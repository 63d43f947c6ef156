"""Claims for the access log: chosen members of one JSON object, in printable ASCII, within a limit."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth.logged_claims import LoggedClaims, compile_logged_claims
from lbjwt.errors import ConfigurationError

CLAIMS = {
    "sub": "alice",
    "level": 3,
    "ok": True,
    "none": None,
    "realm_access": {"roles": ["a", "b"], "secret": "x"},
    "https://example/tenant": "acme",
    "a.b": "dot",
}


def logged(claims: dict[str, Any], *paths: tuple[str, ...], **options: Any) -> dict[str, Any]:
    """The members as a JSON reader sees them."""
    write = compile_logged_claims(LoggedClaims(claims=paths, **options))
    assert write is not None
    text = write(claims)
    if text is None:
        return {}
    assert text.startswith(b",") and all(0x20 <= byte < 0x7F for byte in text)
    found: dict[str, Any] = json.loads(b'{"before":1' + text + b',"after":2}')
    assert found.pop("before") == 1 and found.pop("after") == 2
    return found


def test_chosen_claims_are_one_json_object():
    """Each under its own name and as deep as in the token; what is missing or null is not there; nothing else is."""
    assert logged(CLAIMS, ("sub",)) == {"claims": {"sub": "alice"}}
    assert logged(CLAIMS, ("level",), ("realm_access", "roles"), ("none",), ("absent",), ("sub", "x")) == {
        "claims": {"level": 3, "realm_access": {"roles": ["a", "b"]}}
    }
    assert logged(CLAIMS, ("https://example/tenant",), ("a.b",)) == {
        "claims": {"https://example/tenant": "acme", "a.b": "dot"}
    }
    assert logged(CLAIMS, ("absent",)) == {}
    assert logged({}, ("sub",)) == {}


def test_the_whole_payload_when_it_is_asked_for():
    """Without names every claim that has a value."""
    assert logged(CLAIMS) == {"claims": {name: value for name, value in CLAIMS.items() if value is not None}}


def test_what_does_not_fit_is_left_out_and_counted():
    """In the order of the configuration, each claim that fits is there; a long one costs itself only."""
    long = {"long": "x" * 2000, "sub": "alice", "groups": ["g" * 50] * 30}
    assert logged(long, ("long",), ("sub",)) == {"claims": {"sub": "alice"}, "claims_left_out": 1}
    assert logged(long, ("long",)) == {"claims_left_out": 1}
    assert logged(long, max_bytes=2500) == {"claims": {"long": "x" * 2000, "sub": "alice"}, "claims_left_out": 1}
    write = compile_logged_claims(LoggedClaims(max_bytes=64))
    assert write is not None and len(write({f"claim-{at}": "x" * 10 for at in range(100)}) or b"") < 64 + 64


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.recursive(
            st.text(max_size=12)
            | st.booleans()
            | st.integers(-(2**63), 2**63 - 1)
            | st.floats(allow_nan=False, allow_infinity=False),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
            max_leaves=8,
        ),
        max_size=5,
    )
)
def test_p10_any_claim_is_one_member_of_the_line(claims: dict[str, Any]):
    """Whatever a token says: printable ASCII, and read back it is the same."""
    found = logged(claims, max_bytes=65536)
    assert found == ({"claims": claims} if claims else {})


def test_p10_escapes():
    """Control characters, DEL, quotes, what is beyond ASCII, and what moves a terminal's cursor."""
    value = 'a"\\\r\n\x00\x1b[31m\x7f\x85é\u2028\U0001f600'
    assert logged({"sub": value}, ("sub",)) == {"claims": {"sub": value}}
    assert logged({value: 1}) == {"claims": {value: 1}}


def test_nothing_is_logged_by_default():
    """Without the setting there is no function."""
    assert compile_logged_claims(None) is None


@pytest.mark.parametrize(
    ("paths", "complaint"),
    [
        ([("a",), ("a",)], "already"),
        ([("a",), ("a", "b")], "already"),
        ([("a", "b"), ("a",)], "already"),
        ([()], "1 to 8 names"),
        ([("",)], "1 to 256 characters"),
        ([("a\nb",)], "invisible"),
    ],
)
def test_impossible_choices_cannot_be_made(paths: list[tuple[str, ...]], complaint: str):
    """A claim twice, one inside another, and what is no claim."""
    with pytest.raises(ConfigurationError, match=complaint):
        LoggedClaims(claims=tuple(paths))
    with pytest.raises(ConfigurationError, match="max_bytes"):
        LoggedClaims(max_bytes=0)
