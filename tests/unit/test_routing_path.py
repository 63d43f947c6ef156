"""The one spelling of a path: RFC 3986 section 6.2.2, and what is refused because somebody would read it as another path."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lbjwt.routing._path import both_readings
from lbjwt.routing._router import Found, Router
from lbjwt.routing.table import RouteMatch
from tests.harness.examples import examples
from tests.unit.path_readers import canonical_by_the_book

PIECES = [b"/", b"//", b".", b"..", b"a", b"Ab", b"~", b";", b"%2e", b"%2E%2e", b"%41", b"%7e", b"%20", b"%3b", b"%3F", b"%23", b"%25",
          b"%2", b"%", b"25", b"%32%35", b"%2f", b"%5C", b"\\", b"%c3%a9", b"%C3", b"%a9", b"%c0%af", b"%e0%80%af", b"%ed%a0%80",
          b"%F0%9F%98%80", b"%f4%90%80%80", b"%00", b"%7f", b":", b"%3a", b"#", b"?", b"\x80", b" ", b"|"]  # fmt: skip
PATHS = st.lists(st.sampled_from(PIECES), max_size=12).map(lambda pieces: b"/" + b"".join(pieces))


def canonical(path: bytes) -> bytes | None:
    """The canonical path, or None when it is refused."""
    try:
        return both_readings(path)[0]
    except ValueError:
        return None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/", b"/"),
        (b"/a/b", b"/a/b"),
        (b"/a/b/", b"/a/b/"),
        (b"/%7Euser/%61%2D%5f%2e%30", b"/~user/a-_.0"),
        (b"/%c3%a9/%3a%3A/%2b", b"/%C3%A9/%3A%3A/%2B"),
        (b"/a/./b/.", b"/a/b/"),
        (b"/a/b/../c", b"/a/c"),
        (b"/a/b/..", b"/a/"),
        (b"/a/..", b"/"),
        (b"/../..", b"/"),
        (b"/../a", b"/a"),
        (b"/a/%2e%2E/b", b"/b"),
        (b"/a/.%2e/b", b"/b"),
        (b"//a///b//", b"/a/b/"),
        (b"/a//../b", b"/b"),
        (b"/a;v=1/b;w", b"/a;v=1/b;w"),
        (b"/.well-known/x", b"/.well-known/x"),
        (b"/..a/b../c.d", b"/..a/b../c.d"),
        (b"/100%25/%25x", b"/100%25/%25x"),
        (b"/%F0%9F%98%80/%ef%bf%bf", b"/%F0%9F%98%80/%EF%BF%BF"),
        (b"/!$&'()*+,=:@|\"<>[]^`{}", b"/!$&'()*+,=:@|\"<>[]^`{}"),
        (b"/..;x/../a", b"/a"),
    ],
)
def test_r2_one_spelling(path: bytes, expected: bytes) -> None:
    """Unreserved characters decoded, other escapes in capitals, dot segments resolved, slashes merged, and nothing else touched."""
    assert both_readings(path)[0] == expected


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (b"", "path-not-absolute"),
        (b"a/b", "path-not-absolute"),
        (b"*", "path-not-absolute"),
        (b"/a#b", "path-character"),
        (b"/a?b", "path-character"),
        (b"/a b", "path-character"),
        (b"/a\tb", "path-character"),
        (b"/\x80", "path-character"),
        (b"/a\\..\\b", "path-backslash"),
        (b"/a%5Cb", "path-encoded-slash"),
        (b"/a%5cb", "path-encoded-slash"),
        (b"/a%2fb", "path-encoded-slash"),
        (b"/a%2Fb", "path-encoded-slash"),
        (b"/a%00", "path-encoded-control"),
        (b"/a%0d%0ab", "path-encoded-control"),
        (b"/a%7F", "path-encoded-control"),
        (b"/%252f", "path-double-encoding"),
        (b"/%252e%252e/", "path-double-encoding"),
        (b"/%25%32%66", "path-double-encoding"),
        (b"/%25%32f", "path-double-encoding"),
        (b"/%2525", "path-double-encoding"),
        (b"/%", "path-percent"),
        (b"/%4", "path-percent"),
        (b"/%4g", "path-percent"),
        (b"/%u002f", "path-percent"),
        (b"/%c0%af", "path-not-utf8"),
        (b"/%c1%9c", "path-not-utf8"),
        (b"/%e0%80%af", "path-not-utf8"),
        (b"/%f0%80%80%af", "path-not-utf8"),
        (b"/%ed%a0%80", "path-not-utf8"),
        (b"/%f4%90%80%80", "path-not-utf8"),
        (b"/%f8%88%80%80%80", "path-not-utf8"),
        (b"/%c3", "path-not-utf8"),
        (b"/%c3/../a", "path-not-utf8"),
        (b"/%c3a", "path-not-utf8"),
        (b"/%a9", "path-not-utf8"),
        (b"/a/..;/b", "path-dots"),
        (b"/a/..;x=1/b", "path-dots"),
        (b"/a/..%3Bx/b", "path-dots"),
        (b"/a/..%3Fx/b", "path-dots"),
        (b"/a/%3f/..%23/b", "path-dots"),
        (b"/a/..%20/b", "path-dots"),
        (b"/a/.../b", "path-dots"),
        (b"/a/%20./b", "path-dots"),
        (b"/a/.;", "path-dots"),
    ],
)
def test_r2_what_could_be_read_as_another_path_is_refused(path: bytes, problem: str) -> None:
    """Each kind of refusal has its code."""
    with pytest.raises(ValueError, match=f"^{problem}$"):
        both_readings(path)[0]


@given(PATHS)
@example(b"/%25%32%35%32%66")
@settings(max_examples=examples(1000))
def test_r2_the_book_reads_it_alike(path: bytes) -> None:
    """An implementation with nothing in common but the rules finds the same spelling, and refuses the same paths."""
    assert canonical(path) == canonical_by_the_book(path)


@given(PATHS)
@settings(max_examples=examples(500))
def test_r2_canonical_paths_stay_as_they_are(path: bytes) -> None:
    """canonical(canonical(x)) is canonical(x), no longer than x, and has the same loose reading."""
    once = canonical(path)
    if once is not None:
        assert both_readings(once)[0] == once
        assert len(once) <= len(path)
        assert both_readings(once) == both_readings(path)


@given(PATHS)
@example(b"/a/b.c/")
@settings(max_examples=examples(500))
def test_the_short_cut_changes_nothing(path: bytes) -> None:
    """The router forwards the canonical path, also of those that it takes as they stand, and nothing that is refused."""
    if b"?" not in path:
        found = Router([RouteMatch()]).find(b"GET", b"", path)
        assert found == ((Found.BAD_TARGET, None) if canonical(path) is None else (0, canonical(path)))


@pytest.mark.parametrize(
    ("path", "loose", "cut"),
    [
        (b"/", b"", None),
        (b"/A/b/", b"/a/b", None),
        (b"/a;v=1/b%3bw/c", b"/a/b/c", None),
        (b"/a./b%20/c.%20.", b"/a/b/c", None),
        (b"/;x/a", b"/a", None),
        (b"/%20/a", b"/a", None),
        (b"/x%3Acancel/%C3%89", b"/x:cancel/\xc3\x89", None),
        (b"/a%3Fb/c", b"/a?b/c", b"/a"),
        (b"/a.;b%23c/d", b"/a/d", b"/a"),
        (b"/a/%3Fb", b"/a/?b", b"/a"),
        (b"/;%3F/b", b"/b", b""),
        (b"/a%3F%23/b%3F", b"/a?#/b?", b"/a"),
    ],
)
def test_r2_the_loose_reading(path: bytes, loose: bytes, cut: bytes | None) -> None:
    """Decoded, letters small, parameters and what Windows does not see left out; and the same up to an encoded question mark."""
    assert both_readings(path)[1:] == (loose, cut)
