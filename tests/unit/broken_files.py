"""One change to a good configuration file, and the one problem it must cause, at its place."""

from pathlib import Path

from lbjwt.config.load import examine_text
from lbjwt.config.problems import key_path_text

__all__ = ["assert_told"]


def assert_told(good: str, old: str, new: str, path: str, part: str) -> None:
    """
    Replace text in a good file and look for exactly one error, under its key path, with its sentence.

    ``^`` in the new text marks where the problem must be reported, and is taken out before reading.
    """
    assert old in good
    text = good.replace(old, new, 1)
    mark = text.find("^") if "^" in new else -1
    text = text.replace("^", "", 1) if mark >= 0 else text
    examination = examine_text(text, Path("/etc/lbjwt"), "lbjwt.yaml")
    errors = [problem for problem in examination.problems if problem.level == "error"]
    rendered = "\n".join(problem.render("lbjwt.yaml") for problem in errors)
    assert len(errors) == 1, rendered
    assert key_path_text(errors[0].path) == path, rendered
    assert part in rendered
    if mark >= 0:
        before = text[:mark]
        place = (before.count("\n") + 1, mark - (before.rfind("\n") + 1) + 1)
        assert (errors[0].line, errors[0].column) == place, rendered
    assert errors[0].line is not None
    assert rendered.startswith("lbjwt.yaml:")
