"""The YAML in docs/: each block is a part of a configuration, and loads."""

import re
from pathlib import Path

import pytest

from lbjwt.checks.registry import text_problems
from lbjwt.config.dump import dump
from lbjwt.config.load import examine_text, load_text
from lbjwt.config.schema import json_schema
from tests.unit.documented import DOCS, blocks, members, whole

PAGES = {page.name: blocks(page.name) for page in sorted(DOCS.glob("*.md"))}


@pytest.mark.parametrize(
    ("page", "block"),
    [
        pytest.param(page, block, id=f"{page}-{block.splitlines()[0].strip()}")
        for page, found in PAGES.items()
        for block in found
    ],
)
def test_each_block_loads(page: str, block: str):
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
    shown = {key for block in PAGES["configuration.md"] for key in members(block)}
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
