"""
A reload, as the supervisor sees it: read, compare, open, hand out, look who applied it, tell.

| step | by | ends with |
| --- | --- | --- |
| reading | a process of its own (`lbjwt.process.reader`) | a configuration, or every problem; then nothing changes |
| opening | the supervisor: rows of the stats, sockets, memory for keys | all, or nothing and a problem |
| applying | each process for itself; the supervisor looks at the stats | all have applied it or failed, or `APPLY_LIMIT` passed |
| waiting | after an upgrade: the program before | no request can begin there any more, or `OLD_LIMIT` passed |
| telling | one line in the log, the metrics, an answer to requests at the admin API | |

One reload is under way, and one more waits at most: signals and requests that come meanwhile are all answered by that one.
While an upgrade may still fail, none begins: the program before would go on with the listeners that it has.
If no worker can apply a configuration, the one before is handed out again, so that later workers do not fail on it.
"""

import json
import logging
import os
import time
from dataclasses import dataclass, field
from typing import Any, Final

from lbjwt.assembly.descriptors import shortage
from lbjwt.config.problems import Problem
from lbjwt.config.reading import Reading, Source
from lbjwt.errors import ConfigurationError
from lbjwt.net.descriptors import raise_limit
from lbjwt.observe.log_file import AccessLogError, try_log
from lbjwt.process.bindings import ListenerError
from lbjwt.process.channel import sealed_memory
from lbjwt.process.deliver import Deliveries, InForce
from lbjwt.process.generation import RELOADED
from lbjwt.process.reader import LIMIT, Reader, Wanted
from lbjwt.process.shared import Shared
from lbjwt.process.slots import Slot, Slots
from lbjwt.process.succession import Succession

APPLY_LIMIT: Final = 5.0
"""Seconds for all processes to apply a configuration. One that hangs applies it when it can; it holds up nobody."""

OLD_LIMIT: Final = 15.0
"""
Seconds for the program that this one replaced to end the requests that clients had begun to send. It ends idle connections within 5 s, and gives a
head 5 s more.
"""

LOOK: Final = 0.02
"""Seconds between two looks at the stats while processes apply a configuration."""

LATE_LOOK: Final = 0.5
"""Seconds between two looks at processes that did not apply it in time."""

MOST_LINES: Final = 100
"""Problems in the log of one reload; an answer at the admin API has them all."""

log = logging.getLogger("lbjwt.supervisor")


@dataclass(slots=True)
class Outcome:
    """What became of a reload, as the admin API tells it."""

    changes: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why nothing changed."""
    warnings: list[str] = field(default_factory=list)
    new_warnings: list[str] = field(default_factory=list)
    """Those that the configuration in force had not: the log has them already, from the start or an earlier reload."""
    failed: list[str] = field(default_factory=list)
    """What went wrong that no file can mend."""
    in_force: bool = False
    """It is the configuration of the service, even if some process could not apply it."""


@dataclass(slots=True)
class _Applying:
    number: int
    until: float
    outcome: Outcome
    before: InForce
    hidden: bool = False
    """Handing the old configuration out again: its end is not told."""


@dataclass(slots=True)
class _Waiting:
    """In force here, and not yet told."""

    outcome: Outcome
    until: float


class Reload:
    """
    The reloads of a service, one after another; never blocks.

    Args:
        source: Read again each time.
    """

    def __init__(
        self, shared: Shared, slots: Slots, source: Source, deliveries: Deliveries, succession: Succession
    ) -> None:
        self._shared = shared
        self._slots = slots
        self._source = source
        self._deliveries = deliveries
        self._succession = succession
        self.held = False
        """Begin no reload for now: what was asked for is done later."""
        self._wanted = False
        self._warned = frozenset(source.warned)
        """Warnings about the configuration in force, without their places."""
        self._asked = 0
        """Requests of the admin API that the reload under way answers."""
        self._reader: Reader | None = None
        self._reading_until = 0.0
        self._applying: _Applying | None = None
        self._waiting: _Waiting | None = None

    def request(self) -> None:
        """Reload as soon as may be."""
        self._wanted = True

    def turn(self, now: float) -> None:
        """Do what can be done now, in each turn of the supervisor's loop."""
        if self._reader is not None:
            self._look_at_reader(self._reader, now)
        self._deliveries.turn()
        if self._applying is not None:
            self._look_at_board(self._applying, now)
        if self._waiting is not None:
            self._look_at_old_program(self._waiting, now)
        if self._wanted and not self.held and self.is_idle:
            self._begin(now)

    @property
    def is_wanted(self) -> bool:
        """True when one is asked for and has not begun. It will read what the file is then."""
        return self._wanted

    @property
    def is_idle(self) -> bool:
        """True when none is under way."""
        return self._reader is None and self._applying is None and self._waiting is None

    def due(self, now: float) -> float:
        """Monotonic seconds at which `turn` has something to do without a signal; infinity when it has nothing."""
        if self._applying is not None or self._waiting is not None:
            return now + LOOK
        due = self._reading_until if self._reader is not None else float("inf")
        return min(due, now + LATE_LOOK) if self._deliveries.is_waiting else due

    def stop(self) -> None:
        """The service ends: give up what is under way."""
        self._wanted = False
        if self._reader is not None:
            self._reader.kill()
        self._applying = self._waiting = None
        self.refuse()

    def refuse(self) -> None:
        """Tell requests that wait for a reload at the admin API that the service is stopping."""
        self._asked = self._shared.board.reload_requests
        self._reply(False, Outcome(failed=["the service is stopping"]))

    def _begin(self, now: float) -> None:
        self._wanted = False
        self._asked = self._shared.board.reload_requests
        try:
            self._source.seen = self._source.stamp()
            self._reader = Reader(self._source, self._shared, self._slots.mask, self._slots.leave)
        except OSError as error:
            self._end(Outcome(failed=[f"no process to read the configuration: {error.strerror}"]))
        else:
            self._reading_until = now + LIMIT

    def _look_at_reader(self, reader: Reader, now: float) -> None:
        found = reader.result()
        if found is None:
            if now >= self._reading_until:
                reader.kill()
                self._reading_until = float("inf")
            return
        self._reader = None
        if isinstance(found, str):
            self._end(Outcome(failed=[found]))
            return
        self._open(found, now)

    def _open(self, wanted: Wanted, now: float) -> None:
        """Make ready what the configuration needs, and hand it out."""
        reading = wanted.reading
        found = reading.warnings
        new = [line for text, line in found.items() if text not in self._warned]
        outcome = Outcome(wanted.changes, wanted.restart, reading.errors, [*found.values()], new)
        configuration = reading.configuration
        if configuration is None:
            self._end(outcome)
            return
        try:
            access_log = configuration.access_log
            if access_log is not None and access_log != self._shared.configuration.access_log:
                try_log(access_log.path)
            before = self._deliveries.replace(configuration, wanted.fingerprint)
        except ListenerError as error:
            outcome.problems = [_line(reading, ("listeners", error.index, "address"), error)]
        except AccessLogError as error:
            outcome.problems = [_line(reading, ("access_log", "path"), error)]
        except ConfigurationError as error:
            outcome.problems = [reading.placed(Problem((), str(error))).render(reading.source)]
        except OSError as error:
            outcome.failed = [f"cannot open what it needs: {error.strerror}"]
        else:
            for name, address in self._shared.bindings.describe(before.bindings):
                log.info("%s on %s", name, address)
            outcome.in_force = True
            if too_few := shortage(self._shared.in_force, raise_limit()):
                outcome.warnings.append(too_few)
                outcome.new_warnings.append(too_few)
            self._warned = frozenset(found)
            self._applying = _Applying(self._shared.generation, now + APPLY_LIMIT, outcome, before)
            return
        outcome.changes = []
        self._end(outcome)

    def _look_at_board(self, applying: _Applying, now: float) -> None:
        board, number = self._shared.board, applying.number
        living = [slot for slot in self._slots.all if slot.pid]
        failed = [slot for slot in living if board.failed_generation(slot.index) >= number]
        late = [slot for slot in living if slot not in failed and board.generation(slot.index) < number]
        if late and now < applying.until:
            return
        self._applying = None
        if applying.hidden:
            self._end(applying.outcome)
            return
        workers = [slot for slot in living if slot is not self._slots.keeper]
        outcome = applying.outcome
        outcome.failed += [
            f"the {slot.name} could not apply it and keeps the old one; its log says why" for slot in failed
        ]
        if failed and not [slot for slot in workers if board.generation(slot.index) >= number]:
            outcome.failed.append("no worker could apply it, so the old configuration stays in force")
            outcome.changes, outcome.in_force = [], False
            self._deliveries.restore(applying.before)
            self._applying = _Applying(
                self._shared.generation, now + APPLY_LIMIT, outcome, applying.before, hidden=True
            )
            return
        outcome.failed += [self._why_late(slot) for slot in late if slot.announced]
        starting = [f"the {slot.name} is starting and will apply it then" for slot in late if not slot.announced]
        outcome.warnings += starting
        outcome.new_warnings += starting
        if self._succession.is_old_serving:
            log.info("the configuration is in force; the program before still answers requests that began there")
            self._waiting = _Waiting(outcome, now + OLD_LIMIT)
            return
        self._end(outcome)

    def _look_at_old_program(self, waiting: _Waiting, now: float) -> None:
        if self._succession.is_old_serving:
            if now < waiting.until:
                return
            waiting.outcome.failed.append(
                "the program before still takes requests, under the configuration that it had"
            )
        self._waiting = None
        self._end(waiting.outcome)

    def _why_late(self, slot: Slot) -> str:
        return f"the {slot.name} (process {slot.pid}) has not applied it within {APPLY_LIMIT:g} s; it will when it can"

    def _end(self, outcome: Outcome) -> None:
        """Tell how it ended."""
        board = self._shared.board
        ok = not outcome.problems and not outcome.failed
        board.set_reloaded(ok, time.time())
        for line in outcome.new_warnings:
            log.warning("%s", line)
        if outcome.in_force:
            told = f"{_count(len(outcome.changes), 'change')}: {'; '.join(outcome.changes)}"
            log.info("configuration reloaded: %s", told if outcome.changes else "no changes")
            for line in outcome.failed:
                log.error("configuration not in force everywhere: %s", line)
        else:
            bad = [*outcome.problems, *outcome.failed]
            log.error("configuration not reloaded, the old one stays in force: %s", _count(len(bad), "problem"))
            for line in bad[:MOST_LINES]:
                log.error("%s", line)
            if len(bad) > MOST_LINES:
                log.error("and %d more", len(bad) - MOST_LINES)
        if outcome.restart and outcome.in_force:
            log.warning("needs a restart: %s; the old values stay in force until then", ", ".join(outcome.restart))
        self._reply(ok, outcome)

    def _reply(self, ok: bool, outcome: Outcome) -> None:
        keeper = self._slots.keeper
        if keeper is None or keeper.channel is None:
            return
        answer: dict[str, Any] = {
            "reload": self._asked,
            "ok": ok,
            "changes": outcome.changes,
            "restart": outcome.restart,
            "problems": outcome.problems,
            "warnings": outcome.warnings,
            "failed": outcome.failed,
        }
        try:
            body = sealed_memory(json.dumps(answer).encode())
        except OSError:
            return  # the admin API answers 504 after its timeout
        keeper.channel.send(RELOADED, {}, body=body)
        os.close(body)


def _line(reading: Reading, path: tuple[str | int, ...], error: Exception) -> str:
    """The line of an error whose text begins with its key."""
    return reading.placed(Problem(path, str(error).partition(": ")[2])).render(reading.source)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
