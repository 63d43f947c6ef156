"""What docs/comparison.md says of other programs: each cell was tried or says where it was read, and what CI has installed is tried again."""

from pathlib import Path

import pytest

from bench.compared import PROGRAMS, READ
from bench.compared.scene import Scene, Trial

PAGE = (Path(__file__).parents[2] / "docs" / "comparison.md").read_text()
COLUMNS = {"envoy": 2, "haproxy": 3}
HERE = [(name, trial) for name in ("haproxy", "nginx") for trial in PROGRAMS[name].TRIALS]


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Backend, issuer and keys for all trials."""
    with Scene(tmp_path_factory.mktemp("compared")) as made:
        yield made


@pytest.mark.parametrize(("name", "trial"), HERE, ids=[f"{name}: {trial.situation}" for name, trial in HERE])
def test_a_claim_holds_on_the_program_itself(name: str, trial: Trial, scene: Scene):
    """The program that is installed does what the page says; Envoy is tried by `python -m bench.compared`."""
    if PROGRAMS[name].ABOUT.program() is None:
        pytest.skip(f"{name} is not installed")
    scene.reset()
    assert trial.run(scene) == trial.expected


def test_every_cell_was_tried_or_read():
    """Each cell about Envoy and HAProxy has a trial or a source, none has a source without need, and no trial is of another row."""
    section = PAGE.split("\n## Defaults\n")[1]
    lines = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    rows = {cells[0].strip() for cells in lines}
    tried = {(trial.row, name) for name in COLUMNS for trial in PROGRAMS[name].TRIALS if trial.row}
    assert len(rows) > 10 and tried | READ.keys() == {(row, name) for row in rows for name in COLUMNS}
    assert not tried & READ.keys()
    assert "python -m bench.compared" in PAGE


def test_every_program_says_which_one_it_is():
    """A trial without a version proves nothing about tomorrow's."""
    for program in PROGRAMS.values():
        assert program.ABOUT.program() is None or any(character.isdigit() for character in program.ABOUT.version())
