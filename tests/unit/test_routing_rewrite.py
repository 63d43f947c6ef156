"""Paths made of a template and claims: what they become, which claims cannot be a segment, and templates that are none (THREATS R1, R2)."""

import re
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.errors import ConfigurationError
from lbjwt.routing._path import both_readings
from lbjwt.routing.rewrite import MAX_SEGMENT, PathTemplate, claim_segment


@pytest.mark.parametrize(
    ("value", "segment"),
    [
        ("acme", b"acme"),
        ("Acme-1_2.3~4", b"Acme-1_2.3~4"),
        ("a b", b"a%20b"),
        ("a:b@c", b"a%3Ab%40c"),
        ("auth0|42", b"auth0%7C42"),
        ("a+b&c=d", b"a%2Bb%26c%3Dd"),
        ("Zoë", b"Zo%C3%AB"),
        ("漢字", b"%E6%BC%A2%E5%AD%97"),
        ("{tenant}", b"%7Btenant%7D"),
        ("x" * MAX_SEGMENT, b"x" * MAX_SEGMENT),
        (42, b"42"),
        (-1, b"-1"),
        (0, b"0"),
    ],
)
def test_a_claim_as_a_segment(value: Any, segment: bytes) -> None:
    """Unreserved characters stay, all others are percent-encoded (RFC 3986 section 2.3)."""
    assert claim_segment(value) == segment


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 1.5, [], ["acme"], {}, {"acme": 1}, b"acme"),
        *("", "x" * (MAX_SEGMENT + 1), "ë" * (MAX_SEGMENT // 6 + 1), 10**MAX_SEGMENT),
        *("/", "a/b", "../b", "a/..", "\\", "a\\b", "%2f", "a%2Fb", "%", "100%", "%2e%2e"),
        *(".", "..", "...", "a.", "a. ", "a ", " ", ". .", "..;x", "a;b", ";", "a?b", "?", "a#b", "#"),
        *("\0", "a\nb", "a\r\nX: y", "\x7f", "a\ud800"),
    ],
    ids=repr,
)
def test_r2_claims_that_some_endpoint_would_read_as_something_else(value: Any) -> None:
    """Another type, nothing, too much, a separator, a dot segment in any disguise, an escape in an escape, a control character."""
    assert claim_segment(value) is None


@given(st.text(max_size=40))
def test_r2_any_text_is_one_segment_or_refused(text: str) -> None:
    """What passes is one canonical segment that decodes to the claim, and no reading of it leaves the segment."""
    segment = claim_segment(text)
    if segment is None:
        return
    assert re.fullmatch(rb"(?:[A-Za-z0-9._~-]|%[0-9A-F]{2})+", segment)
    assert unquote(segment.decode()) == text
    path, loose, cut = both_readings(b"/tenants/" + segment + b"/orders")
    assert path == b"/tenants/" + segment + b"/orders"
    assert cut is None and loose.count(b"/") == 3 and loose.endswith(b"/orders")
    assert len(quote(text, safe="")) <= MAX_SEGMENT


@pytest.mark.parametrize(
    ("text", "claims", "token", "path"),
    [
        ("/", {}, {}, b"/"),
        ("/v2/orders", {}, {"sub": "x"}, b"/v2/orders"),
        ("/tenants/{tenant}/orders", {}, {"tenant": "acme"}, b"/tenants/acme/orders"),
        ("/{sub}", {}, {"sub": "a b"}, b"/a%20b"),
        ("/{sub}/{sub}", {}, {"sub": "a"}, b"/a/a"),
        ("/t/{tenant}", {"tenant": ("org", "id")}, {"org": {"id": 7}, "tenant": "no"}, b"/t/7"),
        ("/t/{a.b}", {}, {"a.b": "dot", "a": {"b": "inside"}}, b"/t/dot"),
        ("/t/{tenant}", {}, {}, None),
        ("/t/{tenant}", {}, {"tenant": None}, None),
        ("/t/{tenant}/{sub}", {}, {"tenant": "acme", "sub": ".."}, None),
        ("/t/{tenant}", {"tenant": ("org", "id")}, {"org": "acme"}, None),
        ("/t/{tenant}", {"tenant": ("org", "id")}, {"org": ["id"]}, None),
    ],
)
def test_paths_of_templates(text: str, claims: dict[str, Any], token: dict[str, Any], path: bytes | None) -> None:
    """Literal segments stay, claims are put in; without one of them there is no path."""
    assert PathTemplate(text, claims).path_for(token) == path


@pytest.mark.parametrize(
    ("text", "claims", "complaint"),
    [
        ("tenants/{tenant}", {}, "must begin with /"),
        ("", {}, "must begin with /"),
        ("/a b", {}, "write spaces and other characters as %XX"),
        ("/a?b={sub}", {}, "whole segment"),
        ("/a?b", {}, "write spaces"),
        ("/../a", {}, 'write "/a"'),
        ("/a//b", {}, 'write "/a/b"'),
        ("/a%2Fb", {}, "path-encoded-slash"),
        ("/a;b", {}, "do not agree"),
        ("/t-{tenant}", {}, "whole segment"),
        ("/{tenant}.json", {}, "whole segment"),
        ("/{a}{b}", {}, "whole segment"),
        ("/{}", {}, "whole segment"),
        ("/{ tenant }", {}, "without spaces in the braces"),
        ("/{a", {}, "whole segment"),
        ("/a}", {}, "whole segment"),
        ("/{{a}}", {}, "whole segment"),
        ("/{sub}", {"tenant": ("org", "id")}, r"does not contain \{tenant\}"),
    ],
)
def test_templates_that_are_none(text: str, claims: dict[str, Any], complaint: str) -> None:
    """Each is refused with what is wrong."""
    with pytest.raises(ConfigurationError, match=complaint):
        PathTemplate(text, claims)
