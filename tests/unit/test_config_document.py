"""YAML documents: values, places, and the faults of hostile and of careless files."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbjwt.config import document
from lbjwt.config.document import MAX_BYTES, Node


def faults(text: str) -> list[tuple[int, int, str]]:
    """Line, column and sentence of each fault."""
    return [(fault.line or 0, fault.column or 0, fault.message) for fault in document.read(text)[1]]


def read(text: str) -> Node:
    """The tree of a document without faults."""
    root, faults = document.read(text)
    assert root is not None
    assert not faults
    return root


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-3", -3), ("010", 10), ("0o17", 15), ("0x1F", 31), ("1.5", 1.5), ("1e3", 1000.0), (".5", 0.5), (".inf", float("inf")),
        ("-.INF", float("-inf")), ("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("yes", "yes"), ("on", "on"),
        ("1:30", "1:30"), ("1_000", "1_000"), ("2001-01-01", "2001-01-01"), ("'1'", "1"), ('"true"', "true"), (":8080", ":8080"),
        ("unix:/run/a.sock", "unix:/run/a.sock"), ("[a, 1]", ["a", 1]), ("{a: {b: 1}}", {"a": {"b": 1}}), ("|\n    two\n    lines\n", "two\nlines\n"),
        ("'!'", "!"), ("'\u201cx\u201d'", "\u201cx\u201d"), ("it\u2019s", "it\u2019s"),
    ],
)  # fmt: skip
def test_values_follow_the_core_schema_of_yaml_1_2(text: str, value: object):
    """Plain scalars are what YAML 1.2 says they are; the surprises of YAML 1.1 stay text."""
    assert read(f"key: {text}").data == {"key": value}


def test_an_empty_document_is_told_with_where_to_start():
    """Nothing but comments configures nothing."""
    for text in ("", "# a comment\n", "---\n", "\n\n"):
        (fault,) = faults(text)
        assert fault[:2] == (1, 1)
        assert "is empty" in fault[2] and "examples/minimal.yaml" in fault[2] and "--print-config" in fault[2]
    assert read("{}").data == {}


def test_places_count_from_one():
    """Keys and values, in block and flow style, know their line and column."""
    root = read("a:\n  - b: 1\n    c: {d: 2, e: [3, 4]}\n")
    assert root.place(("a",), key=True) == (1, 1)
    assert root.place(("a", 0)) == (2, 5)
    assert root.place(("a", 0, "b")) == (2, 8)
    assert root.place(("a", 0, "c", "e", 1)) == (3, 22)
    assert root.place(("a", 0, "c", "d"), key=True) == (3, 9)


def test_what_is_not_there_is_shown_at_its_nearest_holder():
    """A missing key is shown at the key of the mapping that lacks it."""
    root = read("a:\n  b:\n    c: 1\n")
    assert root.place(("a", "b", "x", "y")) == (2, 3)
    assert root.place(("z",)) == (1, 1)


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "appears twice, first on line 1"),
        ("a: 1\n'a': 3\n", 2, 1, "appears twice"),
        ("a: {b: 1, b: 2}\n", 1, 11, "appears twice"),
        ("a:\n\tb: 1\n", 2, 1, "tab"),
        ("a: b: c\n", 1, 5, "a second"),
        ("a: [::1]:80\n", 1, 9, "quotes"),
        ("a: 'x\n", 1, 4, "the quote that begins here is never closed"),
        ("a: {b: 'x}\nc: 1\n", 1, 8, "the quote that begins here is never closed"),
        ('a: "x\nb: y\nc: "z"\n', 1, 4, "the quote that begins here is closed only on line 3"),
        ("a: 'x'y\n", 1, 7, "behind the closing quote"),
        ("a: [1, 2\n", 1, 4, "the [ that begins here is not closed; add the missing ] or comma"),
        ("a: [1, 2\nb: 3\n", 1, 4, "the [ that begins here is not closed; add the missing ] or comma before line 2"),
        (
            "a:\n  - {b: 1\n  - {c: 2}\n",
            2,
            5,
            "the { that begins here is not closed; add the missing } or comma before line 3",
        ),
        ("a: [1, 2]]\n", 1, 10, "there is no opening bracket for this ]"),
        ("a: [b c: d: e]\n", 1, 11, "add the missing comma before this"),
        ("a: - b\n", 1, 4, "a list cannot begin on the line of its key"),
        ("a: 1\n- b\n", 2, 1, "a list item is among the keys"),
        ("- a\nb: 1\n", 2, 1, "a key is among the items of a list"),
        ("a:\n    b: 1\n  c: 2\n", 3, 3, "the indentation matches no key above"),
        ("a\nb: 1\n", 1, 1, "this line needs a colon"),
        ("a:\n  b:c\n  d: 1\n", 2, 3, "this line needs a colon and a space"),
        ("a:\u00a0b\nc: 1\n", 1, 3, "an unusual space character (U+00A0)"),
        ("a: |\n x\ny\n", 3, 1, "if it continues the text above, indent it further"),
        ("a: >-x\n", 1, 6, "scanning a block scalar"),
        ('a: "x\\y"\n', 1, 7, "unknown escape character"),
        ("a: @x\n", 1, 4, "in quotes"),
        ("a: *\n", 1, 5, "have a special meaning in YAML; put the value in quotes"),
        ("a: \u201cx\u201d\n", 1, 4, "curly quotes as part of the value"),
        ("a: [\u201eb\u201c, c]\n", 1, 5, "curly quotes as part of the value"),
        ("\u2018a\u2019: 1\n", 1, 1, "curly quotes as part of the value"),
        ("a: \u201cb: c\u201d\n", 1, 4, "curly quotes as part of the value"),
        ("a: 1\n  b: 2\n", 2, 4, "indented too far"),
        ("a: 1\n---\nb: 2\n", 2, 1, "second YAML document"),
        ("%YAML 1.1\n---\na: yes\n", 2, 1, "YAML 1.2"),
        ("a: !!int '1'\n", 1, 4, "tags"),
        ("a: !secret x\n", 1, 4, "tags"),
        ("a: !!python/object/apply:os.system [x]\n", 1, 4, "tags"),
        ("? [a]\n: b\n", 1, 3, "a key must be text"),
        ("? {a: 1}\n: b\n", 1, 3, "a key must be text"),
        ("a: &x 1\n? *x\n: b\n", 2, 3, "a key must be text"),
        ("<<: {a: 1}\n", 1, 1, "merge keys"),
        ("a: *nowhere\n", 1, 4, "no anchor"),
        ("a: &x [1, *x]\n", 1, 11, "no anchor"),
        ("a: \x07\n", 1, 4, "U+0007"),
        ("a: 1\nb: \x00\n", 2, 4, "U+0000"),
        ("a: \ud800\n", 1, 4, "U+D800"),
        ("[" * 100, 1, 33, "32 levels"),
        ("x" * (MAX_BYTES + 1), 1, 1, "larger than 1 MiB"),
        ("é" * (MAX_BYTES // 2 + 1), 1, 1, "larger than 1 MiB"),
    ],
)
def test_faults_have_a_place_and_a_sentence(text: str, line: int, column: int, part: str):
    """Each fault of syntax is told at the place where it is."""
    found = faults(text)
    assert found[0][:2] == (line, column)
    assert part in found[0][2]


def test_several_faults_are_told_in_one_run():
    """A duplicate key does not hide the tag after it."""
    assert [line for line, _, _ in faults("a: 1\na: 2\nb: !x 3\nc: 1\nc: 2\n")] == [2, 3, 5]


def test_the_value_of_a_duplicate_key_is_not_taken_for_the_first():
    """Between two values of one key none wins: the document is refused."""
    assert len(faults("a: 1\na: 2\na: 3\n")) == 2


def test_aliases_stand_for_their_anchor():
    """An alias is the same value again."""
    assert read("a: &x [1, 2]\nb: *x\nc: {d: *x}\n").data == {"a": [1, 2], "b": [1, 2], "c": {"d": [1, 2]}}


def test_an_alias_bomb_is_refused_while_reading():
    """Nine to the power of nine values cost no memory: expansion is counted before it happens."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert "aliases expanded" in faults("\n".join(lines))[0][2]


def test_a_list_without_end_is_refused_while_reading(monkeypatch):
    """Reading stops at the limit, not at the end of the file."""
    monkeypatch.setattr(document, "MAX_NODES", 500)  # the real one takes seconds to reach
    assert faults("- a\n" * 501 + "}") == [
        (500, 3, "the file has more than 500 values, counted with all aliases expanded")
    ]
    assert read("- a\n" * 499).data == ["a"] * 499


@given(st.text(alphabet=st.sampled_from("ab:- \n[]{}&*!|>'\"#,?%@`<~0.\t\\"), max_size=60))
def test_any_text_is_a_document_or_has_a_fault(text: str):
    """No text makes the reader fail in another way."""
    root, found = document.read(text)
    assert root is not None or found
    assert all(fault.line and fault.column and fault.message for fault in found)


EXAMPLES = sorted((Path(__file__).parents[2] / "examples").rglob("*.yaml"))


def nodes(node: Node | None) -> Iterator[tuple[object, ...]]:
    if node is not None:
        yield type(node.data), node.line, node.column, node.key_places
        for child in node.children.values():
            yield from nodes(child)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_both_scanners_read_the_same(path: Path):
    """The fast one is believed where it finds no fault; in whole files and in files with typing errors."""
    text = path.read_text()
    chance = random.Random(path.name)
    for round_ in range(12):
        torn = text
        for _ in range(round_ % 4):
            at, other = chance.randrange(len(torn)), chance.randrange(len(torn))
            torn = (
                torn[:at]
                + chance.choice((" ", "\n", "#", ":", " # ", "-", "'", '"', "{", torn[other : other + 20]))
                + torn[at:]
            )
        root, faults = document.read(torn)
        slow, slow_faults = document._read_with_comments(torn)
        assert (root and root.data, faults) == (slow and slow.data, slow_faults)
        assert list(nodes(root)) == list(nodes(slow))


def test_a_value_left_out_before_a_comment_has_its_place_behind_the_key():
    root, faults = document.read("issuers:\n  - audiences:  # of the API\n    discovery: {}\n")
    assert root is not None
    assert not faults
    assert root.place(("issuers", 0, "audiences")) == (2, 15)
