"""
Configurations as people publish them, each with the result of its import: `tests/imports/KIND/NAME.*` beside `NAME.lbjwt.yaml` and `NAME.findings`.

To write the results of new samples: `python -m tests.unit.test_imports_samples`, and read what it wrote.
"""

from pathlib import Path

import pytest

from lbjwt.imports import KINDS
from lbjwt.imports.load import import_file

SAMPLES = Path(__file__).parents[1] / "imports"
FILES = sorted(
    file
    for kind in KINDS
    for file in (SAMPLES / kind).iterdir()
    if not file.name.endswith((".lbjwt.yaml", ".findings"))
)


def results(sample: Path) -> tuple[str, str]:
    """The configuration and the findings; the directory of the samples is called /etc there."""
    imported = import_file(sample.parent.name, sample)
    lines = [f"{finding}" for finding in imported.findings] + [f"complete: {imported.complete}"]
    directory = str(sample.parent)
    return imported.text.replace(directory, "/etc"), "\n".join(lines).replace(directory, "/etc") + "\n"


def beside(sample: Path, end: str) -> Path:
    return sample.with_name(sample.name.partition(".")[0] + end)


@pytest.mark.parametrize("sample", FILES, ids=[f"{file.parent.name}: {file.stem}" for file in FILES])
def test_a_sample_becomes_what_stands_beside_it(sample: Path):
    text, findings = results(sample)
    assert text == beside(sample, ".lbjwt.yaml").read_text()
    assert findings == beside(sample, ".findings").read_text()
    assert "does not accept" not in findings, "the import tries its result with the loader of lbjwt"


def test_there_are_samples_of_every_kind():
    assert {kind: sum(file.parent.name == kind for file in FILES) >= 10 for kind in KINDS} == dict.fromkeys(KINDS, True)


if __name__ == "__main__":
    for file in FILES:
        for end, text in zip((".lbjwt.yaml", ".findings"), results(file), strict=True):
            beside(file, end).write_text(text)
