"""The README and the pages it leads to are true: the file loads, the Python runs, the flags exist, the limits are the defaults."""

import json
import re
import shlex
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from lbjwt.checks.registry import text_problems
from lbjwt.cli.serve import serve
from lbjwt.config.flags import Flags, configuration_from_flags
from lbjwt.config.http2 import EndpointHttp2, Http2Limits
from lbjwt.config.load import examine_text
from lbjwt.config.model import Cluster, FailLimit, Issuer, Limits, Revocation, Timeouts, TokenCache
from lbjwt.config.remote import RemoteJwks
from lbjwt.config.route import Retry, Route
from lbjwt.config.tenants import Tenants
from lbjwt.units import parse_duration, parse_percent, parse_size

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONFIGURATION, LIMITS, PYTHON = (
    (ROOT / "docs" / f"{name}.md").read_text() for name in ("configuration", "limits", "python")
)
SECTIONS = {
    "limits": Limits,
    "limits.http2": Http2Limits,
    "timeouts": Timeouts,
    "token_cache": TokenCache,
    "clusters.*": Cluster,
    "clusters.*.http2": EndpointHttp2,
    "routes[]": Route,
    "routes[].retry": Retry,
    "issuers.*": Issuer,
    "issuers.*.remote_jwks": RemoteJwks,
    "issuers.*.tenants": Tenants,
    "revocation": Revocation,
    "fail_limit": FailLimit,
}


def block(page: str, language: str, word: str) -> str:
    """The code block of a language that holds a word."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL) if word in code]
    return found


def table(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").replace(r"\|", "/").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    return rows[2:]


def as_written(text: str) -> float | None:
    """A default as the table writes it: `8KiB per worker` is 8192, `none` is None."""
    word = re.split(r"[ ,]", text)[0]
    if word == "none":
        return None
    for parse in (int, parse_size, parse_duration, parse_percent):
        try:
            return parse(word)
        except ValueError:
            continue
    raise AssertionError(f"{text!r} is no default")


def test_the_file_loads():
    """The YAML of the README is a configuration without any problem."""
    examination = examine_text(block(README, "yaml", "listeners"), Path("/"))
    assert text_problems(examination) == []


def test_the_first_command_is_the_file():
    """The command on the first screen and the file have the same listeners, issuers (with discovery) and endpoints."""
    (command,) = re.findall(r"^lbjwt serve (--(?:[^\\\n]|\\\n)*)$", README, re.MULTILINE)
    given = {}
    words = iter(shlex.split(command.replace("\\\n", " ")))
    for flag in words:
        given.setdefault(flag.removeprefix("--"), []).append(next(words))
    flags = Flags(
        listen=tuple(given.pop("listen")),
        backend=tuple(given.pop("backend")),
        audience=tuple(given.pop("audience")),
        issuer=given.pop("issuer")[0],
    )
    assert given == {"jwks": ["build/jwks.json"]}  # "With a real issuer, leave out `--jwks`"
    made = configuration_from_flags(flags, Path("/"))
    written = examine_text(block(README, "yaml", "listeners"), Path("/")).configuration
    assert (made.listeners, made.issuers, made.clusters) == (written.listeners, written.issuers, written.clusters)


@pytest.mark.parametrize("row", table(LIMITS, "Limits and timeouts"), ids=lambda row: row[0])
def test_a_limit_is_the_default(row):
    """Each default in the table of limits is the one of the configuration model."""
    section, _, name = row[0].strip("`").rpartition(".")
    default = SECTIONS[section].model_fields[name].default
    assert as_written(row[1]) == (None if default == 0 else default)


def test_every_limit_is_listed():
    """No limit or timeout of the configuration is missing from the table."""
    listed = {row[0].strip("`") for row in table(LIMITS, "Limits and timeouts")}
    assert listed >= {
        f"{name}.{key}"
        for name, section in SECTIONS.items()
        if name.startswith(("limits", "timeouts"))
        for key in section.model_fields
        if f"{name}.{key}" not in SECTIONS
    }


def test_the_flags_exist():
    """Each flag that docs/configuration.md names is one of `lbjwt serve`, and so are those of the first command."""
    known = {name for parameter in serve.params for name in parameter.opts}
    named = {
        flag
        for row in table(CONFIGURATION, "From flags to a file")
        for flag in re.findall(r"--[a-z-]+", row[0] + row[1])
    }
    assert len(named) > 10
    assert named <= known


def test_the_verifier_example_runs(tmp_path, monkeypatch, capsys):
    """The Verifier example accepts a good token and names the reason for a bad one."""
    key = ECKey.generate_key("P-256", {"kid": "1"})
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block(PYTHON, "python", "Verifier.from_jwks"), "python.md", "exec"), names)  # noqa: S102 - our own text
    claims = {"iss": "https://issuer.example", "aud": "api", "sub": "alice", "exp": 4102444800}
    token = jwt.encode({"alg": "ES256", "kid": "1"}, claims, key)
    assert names["who"](b"Bearer " + token.encode()) == "alice"
    assert (
        names["who"](b"Bearer " + jwt.encode({"alg": "ES256", "kid": "1"}, claims | {"aud": "b"}, key).encode()) is None
    )
    assert capsys.readouterr().out == "refused: WRONG_AUDIENCE\n"


def test_the_example_of_several_issuers_runs(tmp_path, monkeypatch):
    """Each issuer's tokens pass by its own keys, and none by another's."""
    keys = {file: ECKey.generate_key("P-256", {"kid": "1"}) for file in ("jwks.json", "partner.json")}
    for file, key in keys.items():
        (tmp_path / file).write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block(PYTHON, "python", "for_issuers"), "python.md", "exec"), names)  # noqa: S102 - our own text
    verdicts = {
        (issuer, file): names["verifier"].verify(
            jwt.encode({"alg": "ES256", "kid": "1"}, {"iss": issuer, "aud": "api", "exp": 4102444800}, key)
        )
        for issuer in ("https://issuer.example", "https://partner.example")
        for file, key in keys.items()
    }
    assert [bool(verdict) for verdict in verdicts.values()] == [True, False, False, True]


@pytest.mark.parametrize("words", ["asyncio.Event().wait()", "balancer.reload"])
def test_the_balancer_examples_are_python(words):
    """The LoadBalancer examples compile, and what they import is there."""
    code = block(PYTHON, "python", words).replace("asyncio.run(main())", "")
    names = {}
    exec(compile(code, "python.md", "exec"), names)  # noqa: S102 - our own text
    assert callable(names["main"])
