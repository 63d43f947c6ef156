"""A key server as a script, for tests of what is around it: answers in a row, and what was told in order."""

import asyncio
import contextlib
import json

import uvloop

from lbjwt.errors import LbjwtError
from lbjwt.keys.feed import KeyFeed
from lbjwt.keys.fetcher import Fetched
from lbjwt.keys.remote import RemoteKeys
from lbjwt.keys.schedule import KeyLifecycle
from lbjwt.observe._board import Board

PLACE = "https://issuer.example/jwks"
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def runner(new_loop):
    """A function that runs a scenario in such a loop; what is left running at its end fails the test."""

    def run(scenario):
        async def whole():
            result = await scenario
            assert asyncio.all_tasks() == {asyncio.current_task()}
            return result

        with asyncio.Runner(loop_factory=new_loop) as loop:
            return loop.run(whole())

    return run


async def until(condition):
    """Wait for a condition, five seconds at most."""
    async with asyncio.timeout(60.0):
        while not condition():
            await asyncio.sleep(0.002)


async def turns():
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Ring:
    """As much of a key ring as is needed: built from a JSON list of names."""

    warnings = ()

    def __init__(self, document):
        try:
            self.names = json.loads(document)
        except ValueError:
            raise LbjwtError("not a key set") from None
        if not self.names:
            raise LbjwtError("no usable key")

    def __len__(self):
        return len(self.names)

    def __iter__(self):
        return iter(())


class Origin:
    """Answers from a row, the last one for ever. An answer is a document, an exception, or something to wait for first."""

    identity = place = PLACE
    uri = PLACE
    tag = None

    def __init__(self, *answers, max_age=None):
        self.answers = list(answers)
        self.fetches = self.discoveries = 0
        self.doubts = []
        self.heard = []
        self.max_age = max_age
        self.running = self.most = 0

    async def ask(self, *, doubtful=False):
        answer = self.answers[min(self.fetches, len(self.answers) - 1)]
        self.fetches += 1
        self.doubts.append(doubtful)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if callable(answer):
                answer = await answer()
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        if isinstance(answer, BaseException):
            raise answer
        return Fetched(answer, max_age=self.max_age)

    def accepted(self, fetched):
        self.heard.append("accepted")

    def restored(self, etag, document, fetched_at):
        self.heard.append(("restored", etag))

    def refused(self):
        self.heard.append("refused")


class Words:
    """A board that also tells in order when attempts begin and end."""

    def __init__(self):
        self._board = Board(1, 1)

    def __getattr__(self, name):
        return getattr(self._board, name)

    def add_source(self, source, name, amount=1):
        self._board.add_source(source, name, amount)
        if name in ("begun", "attempts"):
            self.told.extend(["started" if name == "begun" else "settled"] * amount)


class Feed(KeyFeed):
    """A feed that also tells in order what is put there."""

    def put(self, source, stored):
        super().put(source, stored)
        self.told.append(json.loads(stored.document))


class Stage:
    """Remote keys over a script, and what they told workers, in order: ends and beginnings of attempts, and documents."""

    def __init__(self, *answers, path=None, max_age=None, stored=None, **times):
        times = {"interval": 0.05, "floor": 0.01, "cooldown": 0.0, **times}
        self.origin = Origin(*answers, max_age=max_age)
        self.told = []
        self.notified = 0
        self.lifecycle = KeyLifecycle(**times)
        self.board, self.feed = Words(), Feed({0: 1000})
        self.board.told = self.feed.told = self.told
        if stored is not None:
            KeyFeed.put(self.feed, 0, stored)
        self.keys = RemoteKeys(
            self.origin,
            self.lifecycle,
            name="main",
            source=0,
            build=Ring,
            board=self.board,
            feed=self.feed,
            notify=self._notify,
            path=path,
        )

    def _notify(self):
        self.notified += 1

    def request(self):
        """A worker met an unknown key id. True when it is worth waiting for the end of an attempt."""
        ended = self.board.source_words(0)["attempts"]
        self.board.want(0)
        self.keys.notified()
        return self.board.source_words(0)["attempts"] == ended

    @contextlib.asynccontextmanager
    async def running(self, *, first=True):
        """From the end of the first attempt on, unless told otherwise."""
        self.keys.start()
        try:
            if first:
                await until(lambda: self.keys.attempts)
            yield self.keys
        finally:
            await self.keys.stop()
