"""An issuer, remote keys that come from it, and a verifier that has them: what the tests of key sources over the network share."""

import asyncio
import contextlib
import time

import uvloop

from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verifier import Verifier
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys import fetcher, store
from lbjwt.keys.egress import Egress
from lbjwt.keys.feed import KeyFeed, room_for
from lbjwt.keys.remote import KeyOrigin, RemoteKeys
from lbjwt.keys.schedule import KeyLifecycle
from lbjwt.keys.source import FeedKeys
from lbjwt.observe._board import Board
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


class Trust:
    """A TLS context in the place of the files that one is made of."""

    def __init__(self, context):
        self.context = lambda: context


def fetch(uri, *, etag=None, ssl_context=None, **options):
    """Fetch one document with these options of an `Egress`."""
    tls = {} if ssl_context is None else {"tls": Trust(ssl_context)}
    return fetcher.fetch(uri, Egress(**options, **tls), etag=etag)


class Scene:
    """An issuer, one that fetches its keys, and a verifier that has them from the feed; with a path also from the disk."""

    def __init__(self, issuer, *, origin=None, path=None, timeout=30.0, max_bytes=256 * 1024, **times):
        self.issuer = issuer
        self.verifier = Verifier(None, IssuerPolicy(issuer=ISSUER, audiences=("api",)))
        self.settled = lambda: None
        self.board, self.feed, self._path = Board(1, 1), KeyFeed({0: max_bytes}), path
        origin = KeyOrigin(Egress(timeout=timeout, max_bytes=max_bytes), **(origin or {"uri": issuer.uri + "/jwks"}))
        if path is not None:
            with contextlib.suppress(store.StoreError):
                stored = read(path, place=origin.identity, max_bytes=max_bytes)
                if stored is not None:
                    self.feed.put(0, stored)
        self.source = FeedKeys(
            origin.place,
            identity=origin.identity,
            feed=self.feed,
            build=KeyRing.from_jwks,
            publish=self.verifier.publish,
            board=self.board,
            issuer=0,
            max_stale=86_400.0,
        )
        self.keys = RemoteKeys(
            origin,
            KeyLifecycle(**{"interval": 0.02, "floor": 0.02, "cooldown": 0.05, **times}),
            name="main",
            source=0,
            build=KeyRing.from_jwks,
            board=self.board,
            feed=self.feed,
            notify=self._notified,
            path=path,
        )
        self.source.load(time.monotonic(), time.time())
        self.source.begin(time.time())

    def _notified(self):
        self.source.look(time.monotonic(), time.time())
        asyncio.get_running_loop().call_soon(self.settled)

    def judge(self, text):
        return judged(self.verifier.verify(text, NOW))

    def request(self):
        """A worker met an unknown key id. True when it is worth waiting for the end of an attempt."""
        ended = self.board.source_words(0)["attempts"]
        self.board.want(0)
        self.keys.notified()
        return self.board.source_words(0)["attempts"] == ended

    @contextlib.asynccontextmanager
    async def running(self):
        """With keys, or from the end of the first attempt on."""
        self.keys.start()
        try:
            await until(lambda: self.keys.attempts or self.source.loaded)
            yield self
        finally:
            await self.keys.stop()

    async def once(self):
        """Make one attempt; with a path, and keys, until they are stored."""
        async with self.running():
            await until(lambda: self.keys.attempts)
            if self._path is not None and self.keys.attempts > self.keys.failures:
                await until(self._path.exists)


def read(path, *, place, max_bytes=256 * 1024):
    """What a file keeps for the next start."""
    return store.read(path, place=place, max_stale=86_400.0, max_bytes=room_for(max_bytes), wall=time.time())


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
