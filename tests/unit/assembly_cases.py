"""Whole configurations around the few lines that a test of the assembly is about."""

from pathlib import Path

from lbjwt.assembly.issuers import IssuerInstance
from lbjwt.assembly.keys import first_fetch, worker_sources
from lbjwt.auth.verifier import Verifier
from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration
from lbjwt.keys.worker import ControlLink, WorkerKeys
from lbjwt.observe._board import Board

BASE = """
listeners: [{address: "127.0.0.1:0"}]
clusters: {main: {endpoints: [{address: "127.0.0.1:9001"}]}}
"""


def configuration(issuers: str, rest: str = "") -> Configuration:
    return load_text(f"{BASE}\nissuers:\n{issuers}\n{rest}", Path("/"))


TEMPLATE = "issuer: 'https://login.test/{tenant}/v2', audiences: [api]"


async def load(
    instances: list[IssuerInstance], verifier: Verifier, board: Board, link: ControlLink, keys: WorkerKeys | None = None
) -> WorkerKeys:
    """The keys of a worker as at its start: read, waited for and in force."""
    keys = keys or WorkerKeys(board, link)
    sources = worker_sources(instances, {}, verifier, board, link.feed)
    await keys.load(sources.values())
    await keys.wait(sources.values(), first_fetch(instances))
    keys.use(sources)
    return keys
