"""A key server as a script, for tests of what is around it: answers in a row, and what was told in order."""

import asyncio
import contextlib
import json

import uvloop

from lbjwt.errors import LbjwtError
from lbjwt.jwks.fetch import Fetched
from lbjwt.jwks.lifecycle import KeyLifecycle
from lbjwt.jwks.remote import RemoteKeys

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


class Origin:
    """Answers from a row, the last one for ever. An answer is a document, an exception, or something to wait for first."""

    identity = place = PLACE
    uri = PLACE
    max_bytes = 1000
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

    def restored(self, etag):
        self.heard.append(("restored", etag))

    def refused(self):
        self.heard.append("refused")


class Stage:
    """Remote keys over a script, and what they told in order."""

    def __init__(self, *answers, path=None, max_age=None, **times):
        times = {"interval": 0.05, "floor": 0.01, "cooldown": 0.0, **times}
        self.origin = Origin(*answers, max_age=max_age)
        self.told = []
        self.lifecycle = KeyLifecycle(**times)
        self.keys = RemoteKeys(
            self.origin,
            self.lifecycle,
            check=Ring,
            path=path,
            on_started=lambda: self.told.append("started"),
            on_document=lambda envelope: self.told.append(json.loads(envelope.document)),
            on_withdrawn=lambda: self.told.append("withdrawn"),
            on_settled=lambda: self.told.append("settled"),
        )

    @contextlib.asynccontextmanager
    async def running(self):
        self.keys.start()
        try:
            yield self.keys
        finally:
            await self.keys.stop()
