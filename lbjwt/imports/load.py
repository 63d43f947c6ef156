"""Read a file of another product, build the draft, print it, and make sure that lbjwt accepts what was printed."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from lbjwt.config.load import examine_text
from lbjwt.imports import KINDS
from lbjwt.imports.draft import Draft
from lbjwt.imports.errors import ImportFailure
from lbjwt.imports.findings import Finding, Findings, Place
from lbjwt.imports.writer import write

Reader = Callable[[Path, Draft, Findings], None]


@dataclass(frozen=True, slots=True)
class Imported:
    """
    The result of an import.

    Attributes:
        text: The configuration in YAML.
        findings: What it does not take over as it stands, in the order of the lines that were read.
        complete: Nothing was left out, and lbjwt accepts the text.
    """

    text: str
    findings: tuple[Finding, ...]
    complete: bool


def import_file(kind: str, path: Path) -> Imported:
    """
    Read a configuration file of another product.

    Args:
        kind: One of `KINDS`.

    Raises:
        ImportFailure: The file cannot be read, or is not of this kind.
    """
    reader: Reader = import_module(f"lbjwt.imports.{kind}").read
    findings = Findings()
    draft = Draft(findings)
    try:
        reader(path, draft, findings)
    except RecursionError:
        raise ImportFailure(f"{path}: is nested too deeply") from None
    text = write(draft.finished(), f"Imported from {path.name} of {KINDS[kind]}. The remarks say where the two differ.")
    problems = examine_text(text, path.absolute().parent).problems
    for problem in problems:
        findings.left_out(Place(str(path), 1), f"lbjwt does not accept this part of the result: {problem.render()}")
    return Imported(text, tuple(findings), findings.complete)
