"""
The program that the tests of the keeper run: a real supervisor and a real keeper, with made-up keys and revocations, and workers that only wait. In
the mode "real" all is real.

`python -m tests.integration.keeper_scene FOLDER [JSON]`; the JSON object holds `mode` and changes of the configuration. What happens is told in
files of the folder, one line each; files that a test makes there are orders.
"""

import asyncio
import functools
import json
import os
import signal
import sys
import time
from pathlib import Path

from lbjwt.config.model import Configuration
from lbjwt.errors import LbjwtError
from lbjwt.observe._board import DRAINING, READY
from lbjwt.process import keeper
from lbjwt.process.supervisor import run


class Scene:
    """Folder and mode, shared by all processes."""

    def __init__(self, folder, mode):
        self.folder = folder
        self.mode = mode

    def note(self, file, *words):
        with (self.folder / file).open("a") as out:
            out.write(" ".join(map(str, (*words, time.monotonic()))) + "\n")

    def ordered(self, name):
        return (self.folder / name).exists()

    # --- workers

    def worker(self, shared, slot):
        """Ready at once; drains until `release` is there; `want` raises a wish; tells what it sees when it is woken."""
        board, wakeups = shared.board, shared.wakeups
        stopping, hurry = [], []
        signal.signal(signal.SIGTERM, lambda *_: (stopping.append(1), board.set_state(DRAINING)))
        signal.signal(signal.SIGUSR2, lambda *_: hurry.append(1))
        for sock in shared.bindings.of(slot):
            sock.listen()
        board.set_keys(1, 1.0)
        # Before it is ready, which tests wait for.
        self.note("workers", os.getpid(), wakeups is not None, shared.directory)
        board.set_state(READY)
        want = self.folder / f"want{slot}"
        while not hurry and not (stopping and self.ordered("release")):
            if want.exists():
                want.unlink()
                board.want(0)
                wakeups.notify_control()
            if wakeups is not None and wakeups.take(wakeups.worker_fd(slot)):
                self.note("woken", slot, board.source_words(0)["fetches"])
            time.sleep(0.01)
        self.note("ended", slot)
        return 0

    def real_worker(self, shared, slot):
        """The real one, and what it had imported in the end."""
        from lbjwt.process.worker import main

        code = main(shared, slot)
        self.note("modules", slot, "aiohttp" in sys.modules, "prometheus_client" in sys.modules)
        return code


class Store:
    """In the place of what writes revocations."""

    def __init__(self, scene, directory):
        self._scene = scene
        scene.note("keepers", os.getpid(), directory)

    def open(self, now):
        if self._scene.mode == "wrong":
            raise LbjwtError("the revocations on disk make no sense")
        if self._scene.mode == "sick":
            raise OSError(5, "Input/output error")

    def close(self):
        self._scene.note("stops", "store")


class Fetcher:
    """Counts a fetch of source 0 once for all wishes that came since, also while there was no keeper."""

    def __init__(self, scene, instances, board, feed, directory, notify):
        self._scene = scene
        self._board = board
        self._notify = notify

    async def start(self):
        if self._scene.mode == "slow":
            self._scene.note("slow")
            await asyncio.sleep(60)

    async def stop(self):
        self._scene.note("stops", "fetcher")
        if self._scene.mode == "stubborn":
            await asyncio.sleep(60)

    def notified(self):
        if self._scene.ordered("break"):
            raise RuntimeError("notified once too often")
        if self._board.wanted(0) > self._board.source_words(0)["fetches"]:
            self._board.add_source(0, "fetches")
            self._notify()

    def describe(self):
        return {"main": {"told by": "fetcher"}}


class Pages:
    """In the place of the pages about revocations."""

    def __init__(self, scene, store, on_change):
        self._scene = scene

    def add_to(self, app):
        from aiohttp import web

        async def pid(request):
            return web.Response(text=str(os.getpid()))

        async def slow(request):
            self._scene.note("asked")
            await asyncio.sleep(60)
            return web.Response(text="late")

        app.router.add_get("/pid", pid)
        app.router.add_get("/slow", slow)


def main(folder, text="{}"):
    changes = json.loads(text)
    scene = Scene(Path(folder), changes.pop("mode", ""))
    configuration = Configuration.model_validate(
        {
            "listeners": [{"address": "127.0.0.1:0"}],
            "issuers": {"main": {"any_issuer": True, "any_audience": True, "jwks_file": "unused.json"}},
            "clusters": {"main": {"endpoints": [{"address": "127.0.0.1:1"}]}},
            "admin": {"address": "127.0.0.1:0"},
            "revocation": {},
            "timeouts": {"drain": "5s"},
            **changes,
        }
    )
    if scene.mode == "real":
        return run(configuration, worker=scene.real_worker)
    from lbjwt.admin import server

    keeper.FetchedKeys = functools.partial(Fetcher, scene)
    keeper.new_store = lambda configuration, directory: configuration.revocation and Store(scene, directory)
    server.RevocationPages = functools.partial(Pages, scene)
    return run(configuration, worker=scene.worker)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
