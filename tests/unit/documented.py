"""The YAML of the documentation: each block is a configuration, or a part of one that gets what it lacks around it."""

import re
from pathlib import Path

from ruamel.yaml import YAML

DOCS = Path(__file__).parents[2] / "docs"
REST = {
    "listeners": "listeners: [{address: 127.0.0.1:8080}]\n",
    "issuers": "issuers: {main: {issuer: 'https://issuer.example', audiences: [api], jwks_file: jwks.json}}\n",
    "clusters": "clusters: {main: {endpoints: [{address: 127.0.0.1:9001}]}}\n",
}
OF_A_CLUSTER = "clusters:\n  main:\n    endpoints: [{address: 127.0.0.1:9001}]\n"


def blocks(page: str) -> list[str]:
    """The blocks of YAML of a page of docs/, as they stand there."""
    return re.findall(r"```yaml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def members(block: str) -> set[str]:
    """The sections of the file that a block has."""
    return set(YAML(typ="safe", pure=True).load(block))


def whole(block: str) -> str:
    """The block with what it needs around it; one that is indented is a part of a cluster."""
    if block.startswith("    "):
        block = OF_A_CLUSTER + block
    given = YAML(typ="safe", pure=True).load(block)
    lacks = {key: text for key, text in REST.items() if key not in given}
    if "mode: authorize" in block:
        lacks.pop("clusters", None)
    if len(given.get("clusters", ())) > 1 and "routes" not in given:
        routes = [f"  - {{name: {name}, prefix: /{name}, cluster: {name}}}\n" for name in given["clusters"]]
        lacks["routes"] = "".join(["routes:\n", *routes])
    return block + "".join(lacks.values())
