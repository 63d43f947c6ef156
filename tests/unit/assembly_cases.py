"""Whole configurations around the few lines that a test of the assembly is about."""

from pathlib import Path

from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration

BASE = """
listeners: [{address: "127.0.0.1:0"}]
clusters: {main: {endpoints: [{address: "127.0.0.1:9001"}]}}
"""


def configuration(issuers: str, rest: str = "") -> Configuration:
    return load_text(f"{BASE}\nissuers:\n{issuers}\n{rest}", Path("/"))


TEMPLATE = "issuer: 'https://login.test/{tenant}/v2', audiences: [api]"
