"""An issuer, remote keys that come from it, and a verifier that has them: what the tests of key sources over the network share."""

import asyncio
import contextlib

import uvloop

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.keyring import KeyRing
from lbjwt.jwks.embedded import RemoteKeySource
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.origin import KeyOrigin
from tests.harness.issuer import http
from tests.unit.auth_tokens import ISSUER, NOW, judged, jwk_of, rsa_key, token

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
GOOD = jwk_of(rsa_key(), kid="good")
NEW = jwk_of(rsa_key(1), kid="new")
KEYS = {"keys": [GOOD]}
ROTATED = {"keys": [GOOD, NEW]}
GOOD_TOKEN = token(algorithm="RS256", key=rsa_key(), kid="good")
NEW_TOKEN = token(algorithm="RS256", key=rsa_key(1), kid="new")


def runner(new_loop):
    """A function that runs a scenario in such a loop."""

    def run(scenario):
        with asyncio.Runner(loop_factory=new_loop) as loop:
            return loop.run(scenario)

    return run


async def until(condition):
    """Wait for a condition, ten seconds at most."""
    async with asyncio.timeout(60.0):
        while not condition():
            await asyncio.sleep(0.005)


class Scene:
    """An issuer and a verifier that has its keys from there."""

    def __init__(self, issuer, *, origin=None, path=None, timeout=1.0, **times):
        self.issuer = issuer
        self.verifier = Verifier(None, IssuerPolicy(issuer=ISSUER, audiences=("api",)))
        self.source = RemoteKeySource(
            KeyOrigin(timeout=timeout, **(origin or {"uri": issuer.uri + "/jwks"})),
            KeyLifecycle(**{"interval": 0.02, "floor": 0.02, "cooldown": 0.05, **times}),
            build=KeyRing.from_jwks,
            publish=self.verifier.publish,
            path=path,
        )
        self.keys = self.source.keys

    def judge(self, text):
        return judged(self.verifier.verify(text, NOW))

    @contextlib.asynccontextmanager
    async def running(self):
        await self.source.load()
        self.source.start()
        try:
            yield self
        finally:
            await self.source.stop()


def tagged(document, tag, **fields):
    """A server that answers 304 to its own entity tag."""

    def answers(issuer):
        async def answer(writer):
            known = issuer.requests[-1][1].get("if-none-match") == tag
            writer.write(http(status=304, etag=tag, **fields) if known else http(document, etag=tag, **fields))

        return answer

    return answers


def endless(piece, head=b"HTTP/1.1 200 OK\r\n\r\n", pause=0.0):
    async def answer(writer):
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


async def silence(writer):
    await asyncio.sleep(3600)
