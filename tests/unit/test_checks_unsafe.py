"""
Unsafe configurations, each with the code that `lbjwt check` must give it and the place, and the same configuration made safe, which gets none.

The bar O-4 asks for sixty. A case changes a sound configuration: keys are paths, a value of ... takes a key away. What stands under `also` are other
codes that the unsafe change earns as well. THREATS C4 (leeway), R5 and R7 (overlaps) and O12 (unsafe and silent) have cases here.
"""

import base64
import copy
import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from lbjwt.checks.codes import SENTENCES
from lbjwt.checks.registry import file_findings, text_problems
from lbjwt.cli import main
from lbjwt.config.load import examine_text
from lbjwt.config.problems import Problem, key_path_text
from tests.unit import unsafe_issuers, unsafe_service
from tests.unit.unsafe_cases import Case

SOUND: dict[str, Any] = {
    "listeners": [{"address": "127.0.0.1:8080"}],
    "issuers": {"main": {"issuer": "https://issuer.example", "audiences": ["api"], "jwks_file": "jwks.json"}},
    "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:9001"}]}},
}
CASES = [*unsafe_issuers.CASES, *unsafe_service.CASES]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with every file that a case names."""
    directory = tmp_path_factory.mktemp("unsafe")

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)

    assert CliRunner().invoke(main, ["keys", "generate", "--out-dir", str(directory)]).exit_code == 0
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key.pem")
    openssl("req", "-x509", "-new", "-key", "key.pem", "-days", "2", "-subj", "/CN=a", "-out", "cert.pem")
    openssl("req", "-x509", "-new", "-key", "key.pem", "-days", "2", "-subj", "/CN=b", "-out", "other.pem")
    openssl("pkey", "-in", "key.pem", "-pubout", "-out", "public.pem")
    openssl("genrsa", "-out", "weak.key", "1024")
    openssl("rsa", "-in", "weak.key", "-pubout", "-out", "weak.pem")
    files = {
        "mixed.json": json.dumps(mixed(directory)),
        "writable.json": (directory / "jwks.json").read_text(),
        "writable.pem": (directory / "cert.pem").read_text(),
        "chain.pem": (directory / "cert.pem").read_text() + (directory / "other.pem").read_text(),
        "open.pem": (directory / "key.pem").read_text(),
        "open.bin": "".join(map(chr, range(40, 80))),
        "secret.bin": "".join(map(chr, range(40, 80))),
        "short.bin": "abcdefghijklmnop",
        "typed.bin": "secret" * 6,
        "line.bin": "".join(map(chr, range(40, 80))) + "\n",
        "oct.json": key_set_of("".join(map(chr, range(40, 80)))),
        "open.json": key_set_of("".join(map(chr, range(40, 80)))),
        "typed.json": key_set_of("secret" * 6),
        "token": "a.b.c",
        "revoked.jsonl": "",
        "writable.jsonl": "",
        "endpoints.yaml": "- address: 10.0.0.1:80\n",
        "broken.yaml": "- addres: 10.0.0.1:80\n",
    }
    for name, text in files.items():
        (directory / name).write_text(text)
    secret = ("key.pem", "secret.bin", "short.bin", "typed.bin", "line.bin", "oct.json", "typed.json")
    modes = dict.fromkeys(secret, 0o600) | dict.fromkeys(("open.bin", "open.pem", "open.json"), 0o644)
    modes |= {name: 0o666 for name in files if name.startswith("writable")}
    for name, mode in modes.items():
        (directory / name).chmod(mode)
    for name, mode in {"state": 0o700, "readable": 0o755, "shared": 0o777}.items():
        (directory / name).mkdir()
        (directory / name).chmod(mode)
    return directory


def key_set_of(secret: str) -> str:
    """A JWK Set with one secret in it."""
    return json.dumps(
        {"keys": [{"kty": "oct", "kid": "s", "k": base64.urlsafe_b64encode(secret.encode()).decode().rstrip("=")}]}
    )


def mixed(directory: Path) -> dict[str, Any]:
    """A good key and one that is too weak to be used."""
    (good,) = json.loads((directory / "jwks.json").read_text())["keys"]
    return {"keys": [good, {"kty": "RSA", "kid": "weak", "n": "AQAB" * 40, "e": "AQAB"}]}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets that cases name."""
    monkeypatch.setenv("LBJWT_TEST_SECRET", "".join(map(chr, range(40, 80))))
    monkeypatch.setenv("LBJWT_TEST_SHORT", "short")
    monkeypatch.delenv("LBJWT_TEST_NOTHING", raising=False)


def text_of(changes: dict[str, Any], directory: Path) -> str:
    """The sound configuration with changes, as YAML."""
    document = copy.deepcopy(SOUND)
    for path, value in changes.items():
        *around, last = path.split(".")
        section = document
        for step in around:
            section = section.setdefault(step, {})
        if value is ...:
            del section[last]
        else:
            section[last] = _inline(value, directory) if last == "jwks" else copy.deepcopy(value)
    text = io.StringIO()
    writer = YAML()
    writer.indent(mapping=2, sequence=4, offset=2)
    writer.dump(document, text)
    return text.getvalue()


def _inline(word: str, directory: Path) -> dict[str, Any]:
    keys = mixed(directory)["keys"]
    match word:
        case "MIXED":
            return {"keys": keys}
        case "WEAK":
            return {"keys": keys[1:]}
        case "PRIVATE":
            return {"keys": [{**keys[0], "d": "AAAA"}]}
    return {"keys": keys[:1]}


def problems(text: str, directory: Path) -> Iterator[Problem]:
    """What `lbjwt check` finds; the files of the test lie under /tmp, which is a finding of its own, so that only they are looked for there."""
    yield from text_problems(examine_text(text, Path("/etc/lbjwt")))
    examination = examine_text(text, directory)
    if examination.configuration is not None:
        yield from examination.placed(
            [one for one in file_findings(examination.configuration, "check") if isinstance(one, Problem)]
        )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_o12_an_unsafe_configuration_is_told(case: Case, place: Path):
    """It earns its code at its key, in the line of that key, and no other code than those it is known to earn as well."""
    text = text_of(case.unsafe, place)
    found = list(problems(text, place))
    rendered = "\n".join(problem.render("f") for problem in found)
    told = {(problem.code, key_path_text(problem.path)): problem for problem in found}
    assert (case.code, case.path) in told, rendered
    assert {problem.code for problem in found} == {case.code} | case.also, rendered
    problem = told[case.code, case.path]
    assert problem.line is not None
    if isinstance(problem.path[-1], str):
        assert problem.path[-1] in text.splitlines()[problem.line - 1], rendered


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_configuration_made_safe_earns_nothing(case: Case, place: Path):
    """A warning that comes for nothing teaches people to ignore warnings."""
    found = list(problems(text_of(case.safe, place), place))
    assert found == [], "\n".join(problem.render("f") for problem in found)


def test_o4_there_are_sixty_and_more():
    """More than sixty kinds of unsafe configuration, most with a code of its own."""
    assert len({case.name for case in CASES}) == len(CASES) >= 60
    assert len({case.code for case in CASES} - {"invalid", "inconsistent", "missing", "unreadable"}) >= 42


def test_every_code_has_a_case_and_a_line_in_the_documentation():
    """The table of codes names each warning and no other one, and each has a case here."""
    assert SENTENCES.keys() - {case.code for case in CASES} == set()
    page = Path("docs/configuration.md").read_text()
    table = page.split("| code | what is weak |\n")[1].split("\n\n")[0]
    named = [code for row in table.splitlines()[1:] for code in re.findall("`([a-z-]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(SENTENCES)


def test_the_examples_earn_nothing():
    """What people copy is sound: every example, and the file of the README."""
    examples = sorted(Path("examples").glob("*.yaml"))
    assert len(examples) > 1
    for path in examples:
        assert text_problems(examine_text(path.read_text(), Path("/etc/lbjwt"))) == [], path
