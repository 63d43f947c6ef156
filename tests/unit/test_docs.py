"""What the pages of docs/ say is there: links, the rooms of the house, and the register of threats."""

import re
from pathlib import Path

import pytest

from docs import commands, python_reference
from lbjwt.config.changes import RESTART
from lbjwt.service import LoadBalancer
from tests.unit.test_layering import FLOORS

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
HOUSE = (ROOT / "docs" / "design" / "house.md").read_text()
REGISTER = set(
    re.findall(r"^\| ([ABCDHPQRSp]\d+) \|", (ROOT / "docs" / "design" / "threats.md").read_text(), re.MULTILINE)
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link of a page is a file of the project, and its anchor a heading there."""
    for target, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", page.read_text()):
        if "://" in target:
            continue
        there = page.parent / target if target else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The names of its headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_house_has_the_rooms_that_are_enforced() -> None:
    """Each floor of the page names exactly the rooms that the layering test enforces."""
    for floor, rooms in FLOORS.items():
        (row,) = re.findall(rf"^\| {floor} [a-z ]+\| (.*?) \|", HOUSE, re.MULTILINE)
        named = {name.rstrip("/") for name in re.findall(r"`(\w+/?)`", re.sub(r"\([^)]*\)", "", row))}
        assert {"" if name == "__init__" else name for name in named} == rooms, f"floor {floor}"


def test_the_files_where_a_change_begins_exist() -> None:
    """Those that the page names as they are today; a file in italics is one that the change would add."""
    _, _, today = HOUSE.partition("## Interfaces")
    today, _, _ = today.partition("## Tried and dropped")
    rows = [line.split(" | ") for line in today.splitlines() if line.startswith("| ")]
    cells = [cell for row in rows for cell in (row[3:] if len(row) == 5 else row)]
    files = {file for cell in cells for file in re.findall(r"(?<!\*)`([\w/]+\.(?:py|pyx|pxd|pyi))`", cell)}
    assert len(files) > 60
    assert [file for file in sorted(files) if not any((ROOT / "lbjwt").glob(f"**/{file}"))] == []


FEATURES = [
    line.strip("| ").split(" | ")
    for line in (ROOT / "docs" / "compared.md").read_text().partition("\n## ")[2].splitlines()
    if line.startswith("| ") and not line.startswith(("| | ", "| ---"))
]


@pytest.mark.parametrize("row", FEATURES, ids=lambda row: row[0])
def test_what_the_page_of_features_says_is_so(row: list[str]) -> None:
    """A feature that lbjwt has names a test that is there; one that it lacks says why. Every other program has a cell."""
    feature, has, proof, *others = row
    assert len(others) == 4 and all(cell.strip() for cell in others), feature
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./(tests/\w+/\w+\.py)\)", proof)
    if re.match(r"yes\b", has):
        assert named, feature
    else:
        assert has == "no" and len(proof) > 12, feature
    for name, file in named:
        assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {name}"


@pytest.mark.parametrize("place", ["configuration.md", "operations.md", "troubleshooting.md", "python"])
def test_what_needs_a_restart_is_named_alike(place: str) -> None:
    """Each page that lists the settings which only a restart changes has all of them, in the order of the code."""
    text = (LoadBalancer.reload.__doc__ or "") if place == "python" else (ROOT / "docs" / place).read_text()
    *most, last = (f"`{key}`" for key in RESTART)
    wanted = (", ".join([*most, last]), f"{', '.join(most)} and {last}")
    assert any(listed in " ".join(text.split()) for listed in wanted)


def test_the_register_and_the_tests_agree() -> None:
    """Every threat that a comment or a test names is in the register, and every entry of the register is named by a test."""
    named: set[str] = set()
    cases: set[str] = set()
    for path in [*(ROOT / "lbjwt").rglob("*.p*"), *(ROOT / "tests").rglob("*.py")]:
        if path.suffix not in (".py", ".pyx", ".pxd"):
            continue
        text = path.read_text()
        found = {
            entry
            for listed in re.findall(r"THREATS ((?:[A-Z]\d+(?:, | and )?)+)", text)
            for entry in re.findall(r"[A-Z]\d+", listed)
        }
        found |= {
            part.upper()
            for run in re.findall(r"def test_((?:[abcdhpqrs]\d+_)+)", text)
            for part in run.split("_")
            if part
        }
        named |= found
        if "tests" in path.relative_to(ROOT).parts:
            cases |= found | set(re.findall(r"\b([ABCDHPQRSp]\d{1,2})\b", text))
    assert named - REGISTER == set()
    assert REGISTER - cases == set()


def test_the_python_reference_is_that_of_the_docstrings() -> None:
    """When this fails, run ``python -m docs.python_reference docs/python-reference.md``."""
    assert (ROOT / "docs" / "python-reference.md").read_text() == python_reference.render()


def test_the_page_of_commands_is_that_of_their_help() -> None:
    """When this fails, run ``python -m docs.commands docs/commands.md``."""
    assert (ROOT / "docs" / "commands.md").read_text() == commands.render()
