"""The YAML in docs/configuration.md: each block is a part of a configuration, and loads."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lbjwt.checks.registry import text_problems
from lbjwt.config.dump import dump
from lbjwt.config.load import examine_text, load_text
from lbjwt.config.schema import json_schema

PAGE = Path("docs/configuration.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
REST = {
    "listeners": "listeners: [{address: 127.0.0.1:8080}]\n",
    "issuers": "issuers: {main: {issuer: 'https://issuer.example', audiences: [api], jwks_file: jwks.json}}\n",
    "clusters": "clusters: {main: {endpoints: [{address: 127.0.0.1:9001}]}}\n",
}


def whole(block: str) -> str:
    """The block with what it needs around it."""
    said = YAML(typ="safe", pure=True).load(block)
    forwards = any(one.get("mode") != "authorize" for one in said.get("listeners", [{}]))
    needed = {key: text for key, text in REST.items() if forwards or key != "clusters"}
    return block + "".join(text for key, text in needed.items() if key not in said)


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.splitlines()[0])
def test_each_block_loads(block: str):
    """Without an error, and with no other warning than it says itself; every key of it survives --print-config."""
    examination = examine_text(whole(block), Path("/etc/lbjwt"))
    said = set(re.findall(r"# warning: ([a-z-]+)", block))
    assert {problem.code for problem in text_problems(examination)} == said, [
        problem.render() for problem in text_problems(examination)
    ]
    assert examination.configuration is not None
    assert load_text(dump(examination.configuration), Path("/")) == examination.configuration


def test_every_section_of_the_file_is_shown():
    """What stands at the top of a file is explained with an example, or needs none beyond the reference."""
    shown = {key for block in BLOCKS for key in YAML(typ="safe", pure=True).load(block)}
    plain = {
        "listeners",
        "clusters",
        "token_cache",
        "realm",
        "header_names",
        "allow_half_close",
        "allow_websocket",
        "timeouts",
        "workers",
        "watch",
        "access_log",
    }
    assert set(json_schema()["properties"]) - plain == shown - plain
