"""What the README says is so: its file loads, its Python runs, its flags exist, its limits are the defaults."""

import json
import re
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from lbjwt.cli.serve import serve
from lbjwt.config.issuer import Tenants
from lbjwt.config.load import examine_text
from lbjwt.config.model import Cluster, FailLimit, Issuer, Limits, RemoteJwks, Revocation, Timeouts, TokenCache
from lbjwt.units import parse_duration, parse_size

README = (Path(__file__).parents[2] / "README.md").read_text()
SECTIONS = {
    "limits": Limits,
    "timeouts": Timeouts,
    "token_cache": TokenCache,
    "clusters.*": Cluster,
    "issuers.*": Issuer,
    "issuers.*.remote_jwks": RemoteJwks,
    "issuers.*.tenants": Tenants,
    "revocation": Revocation,
    "fail_limit": FailLimit,
}


def block(language: str, word: str) -> str:
    """The code block of a language that holds a word."""
    (found,) = [code for code in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if word in code]
    return found


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = README.split(f"\n## {heading}\n")[1].split("\n## ")[0]
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
    for parse in (int, parse_size, parse_duration):
        try:
            return parse(word)
        except ValueError:
            continue
    raise AssertionError(f"{text!r} is no default")


def test_the_file_loads():
    """The YAML of the README is a configuration without any problem."""
    examination = examine_text(block("yaml", "listeners"), Path("/"))
    assert examination.problems == ()


@pytest.mark.parametrize("row", table("Limits"), ids=lambda row: row[0])
def test_a_limit_is_the_default(row):
    """Each default in the table of limits is the one of the configuration model."""
    section, _, name = row[0].strip("`").rpartition(".")
    default = SECTIONS[section].model_fields[name].default
    assert as_written(row[1]) == (None if default == 0 else default)


def test_every_limit_is_listed():
    """No limit or timeout of the configuration is missing from the table."""
    listed = {row[0].strip("`") for row in table("Limits")}
    assert listed >= {
        f"{section}.{name}" for section in ("limits", "timeouts") for name in SECTIONS[section].model_fields
    }


def test_the_flags_exist():
    """Each flag the README names is one of `lbjwt serve`."""
    known = {name for parameter in serve.params for name in parameter.opts}
    named = {flag for row in table("Start") for flag in re.findall(r"--[a-z-]+", row[0] + row[1])}
    assert len(named) > 10
    assert named <= known


def test_the_verifier_example_runs(tmp_path, monkeypatch, capsys):
    """The Verifier example accepts a good token and names the reason for a bad one."""
    key = ECKey.generate_key("P-256", {"kid": "1"})
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [key.as_dict(private=False)]}))
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(block("python", "Verifier"), "README.md", "exec"), names)  # noqa: S102 - our own text
    claims = {"iss": "https://issuer.example", "aud": "api", "sub": "alice", "exp": 4102444800}
    token = jwt.encode({"alg": "ES256", "kid": "1"}, claims, key)
    assert names["who"](b"Bearer " + token.encode()) == "alice"
    assert (
        names["who"](b"Bearer " + jwt.encode({"alg": "ES256", "kid": "1"}, claims | {"aud": "b"}, key).encode()) is None
    )
    assert capsys.readouterr().out == "refused: WRONG_AUDIENCE\n"


def test_the_balancer_example_is_python():
    """The LoadBalancer example compiles, and what it imports is there."""
    code = block("python", "LoadBalancer").replace("asyncio.run(main())", "")
    names = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - our own text
    assert callable(names["main"])
