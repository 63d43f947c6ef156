"""
A service with the real supervisor, a real control process when there is something for it to do, and workers without a loop. What a worker does with
a configuration is not asked here; it writes down what it was sent, and misbehaves as it is told.

`python -m tests.integration.reload_scene FOLDER` serves `FOLDER/lbjwt.yaml`. A file `WORD-SLOT` in the folder is an order to the worker of a slot:
`hang`, `fail`, `die` at the next configuration. What happens is told in `FOLDER/notes`, a line each.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from lbjwt.checks.source import FileSource
from lbjwt.observe._board import DRAINING, READY
from lbjwt.process import keeper
from lbjwt.process.generation import Delivery
from lbjwt.process.supervisor import run


class Worker:
    """The life of one worker."""

    def __init__(self, folder, shared, slot):
        self.folder, self.shared, self.slot = folder, shared, slot
        self.stopping = []

    def note(self, what, configuration, listeners):
        said = {
            "what": what,
            "slot": self.slot,
            "pid": os.getpid(),
            "routes": [route.name for route in configuration.routes],
            "issuers": list(configuration.issuers),
            "endpoints": [
                str(endpoint.address) for cluster in configuration.clusters.values() for endpoint in cluster.endpoints
            ],
            "realm": configuration.realm,
            "ports": [sock.getsockname()[1] for bound in listeners for sock in bound],
        }
        with (self.folder / "notes").open("a") as out:
            out.write(json.dumps(said) + "\n")

    def ordered(self, word):
        with contextlib.suppress(FileNotFoundError):
            (self.folder / f"{word}-{self.slot}").unlink()
            return True
        return False

    def run(self):
        shared, board = self.shared, self.shared.board
        signal.signal(signal.SIGTERM, lambda *_: (self.stopping.append(1), board.set_state(DRAINING)))
        listeners = shared.bindings.slots[self.slot]
        for bound in listeners:
            for sock in bound:
                sock.listen()
        for row in shared.rows.issuers.values():
            board.set_keys(1, 1.0, issuer=row)
        self.note("forked", shared.configuration, listeners)
        board.set_state(READY)
        poll = select.poll()
        poll.register(shared.channel.fileno(), select.POLLIN)
        while not self.stopping:
            if not poll.poll(20):
                continue
            try:
                message = shared.channel.receive()
            except EOFError:
                return 1
            if message is not None:
                self.take(message)
        return 0

    def take(self, message):
        board = self.shared.board
        delivery = Delivery.take(message, self.shared.feed)
        if self.ordered("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        while self.ordered("hang"):
            while not self.ordered("go"):
                time.sleep(0.01)
        if self.ordered("fail"):
            board.set_failed_generation(delivery.number)
            delivery.close()
            return
        generation = delivery.unpacked()
        for bound in generation.sockets:
            for sock in bound:
                sock.listen()
        self.note("applied", generation.configuration, generation.sockets)
        self.held, generation.sockets = generation.sockets, []
        board.set_generation(delivery.number)
        delivery.close()


class Keys:
    """In the place of the fetched keys: tells which issuers it was given."""

    def __init__(self, folder, instances):
        self.folder = folder
        self.told("start", instances)

    def told(self, what, instances):
        with (self.folder / "keys").open("a") as out:
            out.write(json.dumps([what, {one.name: one.index for one in instances}]) + "\n")

    async def start(self):
        pass

    async def stop(self):
        pass

    async def reload(self, instances):
        self.told("reload", instances)

    def notified(self):
        pass

    def describe(self):
        return {}


def main(folder):
    folder = Path(folder)
    keeper.FetchedKeys = lambda instances, *rest: Keys(folder, instances)
    source = FileSource(folder / "lbjwt.yaml")
    reading = source.read()
    assert reading.configuration is not None, reading.errors
    return run(reading.configuration, source, worker=lambda shared, slot: Worker(folder, shared, slot).run())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
