"""Revocations as text: what is read, what is refused and at which line, and that writing is the reverse of reading."""

import contextlib
import math
import re
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.auth.revocation import LATEST, MAX_TEXT, Revocation, RevocationError, Undo
from lbjwt.auth.revocation_format import (
    MAX_LINE,
    line_of,
    parse_time,
    read_entry,
    read_lines,
    read_posted,
    read_undo,
    text_of_time,
)

END = 1_800_000_000.0


def posted(body: bytes) -> list[Revocation]:
    return read_posted(body, partial(read_entry, default_expires=END))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("2027-01-15T08:00:00Z", 1_800_000_000.0),
        ("2027-01-15t08:00:00z", 1_800_000_000.0),
        ("2027-01-15 08:00:00Z", 1_800_000_000.0),
        ("2027-01-15T10:00:00+02:00", 1_800_000_000.0),
        ("2027-01-15T02:30:00-05:30", 1_800_000_000.0),
        ("2027-01-15T08:00:00.25Z", 1_800_000_000.25),
        ("2027-01-15T08:00:00.250000000Z", 1_800_000_000.25),
        (1_800_000_000, 1_800_000_000.0),
        (1_800_000_000.5, 1_800_000_000.5),
    ],
)
def test_times_are_seconds_or_rfc_3339(text: Any, seconds: float):
    """Both spellings of one moment."""
    assert parse_time(text, "expires") == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "now",
        "1800000000",
        "2027-01-15",
        "2027-01-15T08:00:00",
        "2027-01-15T08:00Z",
        "20270115T080000Z",
        "2027-W03-5T08:00:00Z",
        "2027-02-30T08:00:00Z",
        "2027-01-15T25:00:00Z",
        "2027-01-15T08:00:60Z",
        "2027-01-15T08:00:00+0200",
        "2027-01-15T08:00:00+25:00",
        "2027-01-15T08:00:00Z\n",
        "２０27-01-15T08:00:00Z",
        True,
        None,
        [],
        {},
    ],
)
def test_other_spellings_of_a_time_are_refused(value: Any):
    """A time without its zone is two times, and true is not one second."""
    with pytest.raises(RevocationError, match='"until" must be a number of seconds'):
        parse_time(value, "until")


def test_a_time_for_people_reads_back():
    """In UTC, to the second."""
    assert text_of_time(1_800_000_000.7) == "2027-01-15T08:00:00Z"
    assert parse_time(text_of_time(float(LATEST)), "expires") == LATEST


@pytest.mark.parametrize(
    ("line", "entry"),
    [
        ('{"jti":"j","expires":1800000000}', Revocation("jti", "j", END)),
        (' {"expires": "2027-01-15T08:00:00Z", "kid": "k"}\t', Revocation("kid", "k", END)),
        ('{"sub":"s","issuer":"i","issued_before":1.5,"expires":1.8e9}', Revocation("sub", "s", END, "i", 1.5)),
        (
            '{"issuer":"i","issued_before":"1970-01-01T00:00:02Z","expires":1800000000}',
            Revocation("issuer", "i", END, None, 2.0),
        ),
        ('{"sub":"\\u00e9","expires":1800000000}', Revocation("sub", "é", END)),
    ],
)
def test_lines_that_are_entries(line: str, entry: Revocation):
    """Members in any order."""
    assert list(read_lines(line.encode())) == [entry]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("{", "is not a JSON object"),
        ("[]", "is not a JSON object"),
        ("null", "is not a JSON object"),
        ("j1", "is not a JSON object"),
        ('{"jti":"a","expires":1}{"jti":"b","expires":1}', "is not a JSON object"),
        ('{"jti":"a","jti":"b","expires":1}', "contains a member twice"),
        ('{"jti":"\\ud800","expires":1}', "is not a JSON object"),
        ('{"jtis":"a","expires":1}', '"jtis" is not a member of a revocation; did you mean "jti"?'),
        ('{"sub":"a","expire":1}', 'did you mean "expires"?'),
        ('{"sub":"a","issued_befor":1,"expires":2}', 'did you mean "issued_before"?'),
        ('{"sub":"a","expires":2,"reason":"x"}', '"reason" is not a member of a revocation; the members are jti, sub'),
        ('{"\\u0007":"a"}', "a name is not a member"),
        ('{"jti":5,"expires":1}', '"jti" must be text'),
        ('{"sub":null,"expires":1}', '"sub" must be text'),
        ('{"jti":"a","issuer":["i"],"expires":1}', '"issuer" must be text'),
        ('{"jti":"a","sub":"b","expires":1}', "jti and sub cannot be in one entry; write an entry for each"),
        ('{"expires":1}', "an entry needs a jti, a sub, a kid or an issuer"),
        ("{}", "an entry needs a jti, a sub, a kid or an issuer"),
        ('{"jti":"a"}', 'needs "expires"'),
        ('{"jti":"a","expires":null}', '"expires" must be a number'),
        ('{"jti":"a","expires":true}', '"expires" must be a number'),
        ('{"jti":"a","expires":"soon"}', '"expires" must be a number'),
        ('{"jti":"a","expires":0}', '"expires" must be a time'),
        ('{"jti":"a","expires":1800000000000}', '"expires" must be a time'),
        ('{"jti":"","expires":1}', '"jti" must be text of 1'),
        ('{"jti":"a","issued_before":1,"expires":1}', "cannot be used with a jti"),
        ('{"issuer":"a","expires":1}', 'an entry for a whole issuer needs "issued_before"'),
        ('{"sub":"a","issued_before":false,"expires":1}', '"issued_before" must be a number'),
        ('{"jti":"' + "a" * MAX_LINE + '","expires":1}', f"is longer than {MAX_LINE} bytes"),
    ],
)
def test_lines_that_are_none_are_told_by_number(line: str, part: str):
    """Strict: an unknown member or a wrong type is an error at its line, whatever stands around it."""
    text = f'# made by hand\n\n{{"jti":"good","expires":1800000000}}\r\n{line}\n'.encode()
    read = read_lines(text)
    assert next(read) == Revocation("jti", "good", END)
    with pytest.raises(RevocationError) as caught:
        next(read)
    assert str(caught.value).startswith("line 4: ")
    assert part in str(caught.value)


def test_a_file_may_end_without_a_line_end_and_hold_comments():
    """As people leave files; nothing at all is no entry."""
    assert list(read_lines(b"")) == list(read_lines(b"\n \n# x\n  # y")) == []
    assert list(read_lines(b'{"jti":"j","expires":1800000000}')) == [Revocation("jti", "j", END)]


good = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30) | st.just("\\" * MAX_TEXT)
moments = st.floats(0.001, LATEST) | st.integers(1, LATEST).map(float)
entries = st.one_of(
    st.builds(Revocation, st.sampled_from(["jti", "kid"]), good, moments, st.none() | good),
    st.builds(Revocation, st.just("sub"), good, moments, st.none() | good, st.none() | moments),
    st.builds(Revocation, st.just("issuer"), good, moments, st.none(), moments),
)


@given(st.lists(entries, max_size=3))
def test_what_is_written_reads_back(made: list[Revocation]):
    """One line each, whatever stands in them."""
    text = b"".join(map(line_of, made))
    assert text.count(b"\n") == len(made)
    assert max(map(len, text.splitlines()), default=0) <= MAX_LINE
    assert list(read_lines(text)) == made


@given(st.binary(max_size=80))
def test_other_bytes_raise_nothing_else(text: bytes):
    """Random lines and bodies are a RevocationError or entries."""
    for read in (lambda: list(read_lines(text)), lambda: posted(text)):
        with contextlib.suppress(RevocationError):
            read()


def test_a_body_is_one_entry_or_an_array():
    """An entry without an end gets the default; an empty array revokes nothing."""
    one = {"jti": "j"}
    assert posted(orjson.dumps(one)) == [Revocation("jti", "j", END)]
    assert posted(b" [] \n") == []
    two = [{"jti": "j", "expires": 5}, {"sub": "s", "issued_before": 7}]
    assert posted(orjson.dumps(two)) == [
        Revocation("jti", "j", 5.0),
        Revocation("sub", "s", END, None, 7.0),
    ]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"", "JSON object"),
        (b"jti=j1", "JSON object"),
        (b"\xef\xbb\xbf{}", "JSON object"),
        (b'{"jti":"a"', "JSON object"),
        (b'{"jti":"a","jti":"b"}', "JSON object"),
        (b"[{]", "not a valid JSON array"),
        (b'[],"x":[]', "not a valid JSON array"),
        (b'[]},{"x":[]', "not a valid JSON array"),
        (b'[{"jti":"a","jti":"b"}]', "not a valid JSON array"),
        (b'[{"jti":"a"},5]', "entry 2: is not a JSON object"),
        (b'[{"jti":"a"},{"jti":5}]', 'entry 2: "jti" must be text'),
        (b"[" * 100_000, "not a valid JSON array"),
        (b'{"revoke":"everything"}', "not a member of a revocation"),
    ],
)
def test_other_bodies_are_refused(body: bytes, part: str):
    """A form, a broken array, a smuggled second member; an array tells which entry is wrong."""
    with pytest.raises(RevocationError, match=part):
        posted(body)


def test_a_default_is_for_those_who_give_one():
    """A file must say when an entry ends: read again, a default would begin anew."""
    assert read_entry({"jti": "j"}, default_expires=END).expires == END
    with pytest.raises(RevocationError, match="forever"):
        read_entry({"jti": "j"})
    with pytest.raises(RevocationError):
        read_entry({"jti": "j"}, default_expires=math.inf)


def test_the_example_of_the_page_is_a_file():
    """What docs/revocation.md shows is read as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "revocation.md").read_text()
    (example,) = re.findall(r"```jsonl\n(.*?)```", page, re.DOTALL)
    assert [(type(entry), entry.kind) for entry in read_lines(example.encode())] == [
        (Revocation, "jti"),
        (Revocation, "sub"),
        (Undo, "jti"),
    ]


@pytest.mark.parametrize(
    ("members", "undo"),
    [
        ({"jti": "j"}, Undo("jti", "j")),
        ({"sub": "s", "issuer": "https://i"}, Undo("sub", "s", "https://i")),
        ({"issuer": "https://i"}, Undo("issuer", "https://i")),
    ],
)
def test_an_undo_names_what_the_entry_names(members: dict[str, Any], undo: Undo):
    """The same members without the times; as a line it says that it is one, and reads back."""
    assert read_undo(members) == undo
    assert orjson.loads(line_of(undo)) == {"undo": True, **members}
    assert list(read_lines(line_of(undo))) == [undo]


@pytest.mark.parametrize(
    ("line", "part"),
    [
        (b'{"undo":false,"jti":"j","expires":1800000000}', '"undo" must be true; otherwise leave it out'),
        (b'{"undo":1,"jti":"j"}', '"undo" must be true; otherwise leave it out'),
        (b'{"undo":true}', "needs a jti"),
        (b'{"undo":true,"jti":"j","expires":1800000000}', '"expires" cannot be used with an undo'),
        (b'{"undo":true,"sub":"s","issued_before":5}', '"issued_before" cannot be used with an undo'),
        (b'{"undo":true,"sub":"s","jti":"j"}', "an entry for each"),
        (b'{"undo":true,"sub":"s","x":1}', "not a member"),
    ],
)
def test_an_undo_that_is_not_understood_is_refused(line: bytes, part: str):
    """What was misread would let a token in again that somebody believes revoked."""
    with pytest.raises(RevocationError, match=part):
        list(read_lines(line))


def test_a_body_that_revokes_undoes_nothing():
    """What undoes is the method, not a member that a client can slip in."""
    with pytest.raises(RevocationError, match="not a member"):
        posted(b'{"undo":true,"jti":"j"}')
