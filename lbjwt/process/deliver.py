"""
What the supervisor owns of a configuration (rows, sockets, memory for keys), replaced as a whole and handed to the processes that run.

A process has at most one configuration in its channel that it has not answered for: a later one waits here, and of several only the last is sent.
So a process that hangs costs no memory and no descriptors, however often the configuration is reloaded meanwhile.
"""

import os
from dataclasses import dataclass, field

from lbjwt.assembly.discovered import Discovered, in_force, keeping
from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import Room, make_room
from lbjwt.assembly.rows import row_names
from lbjwt.config.model import Configuration
from lbjwt.errors import ConfigurationError
from lbjwt.observe.rows import RowNumbers, Rows
from lbjwt.process.bindings import Bindings
from lbjwt.process.channel import MOST_DESCRIPTORS
from lbjwt.process.generation import GENERATION, MEMBERS, packed
from lbjwt.process.shared import Shared
from lbjwt.process.slots import Slot, Slots


@dataclass(frozen=True, slots=True)
class InForce:
    """What was in force before a reload."""

    configuration: Configuration
    fingerprint: str
    bindings: Bindings


@dataclass(slots=True)
class _Left:
    """Listeners that are no longer configured, until every worker has given them up. Until then a reload may bring them back."""

    number: int
    bindings: Bindings
    refused: set[int] = field(default_factory=set)
    """Slots whose worker has given them up: their sockets no longer listen."""


@dataclass(slots=True)
class _Area:
    """Memory for the keys of new sources, for the processes that do not have it yet."""

    number: int
    room: Room


class Deliveries:
    """The configuration in force, on its way to every process."""

    def __init__(self, shared: Shared, slots: Slots, rows: Rows) -> None:
        self._shared = shared
        self._slots = slots
        self._rows = rows
        self._body = -1
        """Of the message with the configuration; -1: no process needs it now."""
        self._members = -1
        """Of the message with the members alone."""
        self._left: list[_Left] = []
        self._areas: list[_Area] = []

    @property
    def is_waiting(self) -> bool:
        """True while some process does not have the newest configuration, or something waits to be closed."""
        return self._body >= 0 or self._members >= 0 or bool(self._left)

    def replace(self, configuration: Configuration, fingerprint: str) -> InForce:
        """
        Make a configuration the one in force, for processes that are forked from now on, and begin to hand it to the others.

        Raises:
            ListenerError: One of its addresses cannot be listened on.
            ConfigurationError: There is no room for it without a restart.
            OSError: No memory or descriptor is left. Whatever is raised, nothing changed.
        """
        shared = self._shared
        before = InForce(shared.configuration, shared.board.configuration_hash, shared.bindings)
        number = shared.generation + 1
        leaving = [left.bindings for left in self._left]
        bindings = shared.bindings.changed(configuration, leaving=leaving)
        known = {name for one in (shared.bindings, *leaving) for name in one.names}
        body = -1
        try:
            if sum(map(len, bindings.accepting(0))) + len(self._areas) >= MOST_DESCRIPTORS:
                raise ConfigurationError(
                    "listeners: more sockets than a running process can be given; this needs a restart"
                )
            discovered = shared.discovered
            if discovered is not None:
                discovered = keeping(configuration, discovered, shared.in_force)
            rows = self._rows.assign(row_names(in_force(configuration, discovered)), number)
            body = packed(configuration, discovered, rows)
            self._new_area(configuration, rows, number)
        except BaseException:
            if body >= 0:
                os.close(body)
            bindings.part(name for name in bindings.names if name not in known).close()
            raise
        self._forget_bodies()
        self._body = body
        self._retire(bindings, number)
        shared.generation = shared.configured = number
        shared.configuration, shared.rows, shared.bindings, shared.discovered = (
            configuration,
            rows,
            bindings,
            discovered,
        )
        shared.board.configuration_hash = fingerprint
        self.turn()
        return before

    def restore(self, before: InForce) -> None:
        """Hand out what was in force before: no process could apply what followed."""
        self.replace(before.configuration, before.fingerprint)

    def discover(self, discovered: Discovered) -> int:
        """
        Make these the members of clusters, for processes that are forked from now on, and begin to hand them to the others. The same members are
        handed out anew when a process could not apply what it was given last.

        Returns:
            The generation with which they are in force.

        Raises:
            ConfigurationError: There is no room to count them.
            OSError: No memory or descriptor is left. Whatever is raised, nothing changed.
        """
        shared = self._shared
        before = shared.in_force
        discovered = keeping(shared.configuration, discovered, before)
        after = in_force(shared.configuration, discovered)
        if _endpoints(after) == _endpoints(before) and not self._is_refused():
            shared.discovered = discovered
            return shared.generation
        number = shared.generation + 1
        rows = self._rows.assign(row_names(after), number)
        body = packed(shared.configuration, discovered, rows) if self._body >= 0 else -1
        members = packed(None, discovered, rows)
        self._forget_bodies()
        self._body, self._members = body, members
        shared.generation, shared.rows, shared.discovered = number, rows, discovered
        self.turn()
        return number

    def _is_refused(self) -> bool:
        """True when some process could not apply what is in force."""
        board, number = self._shared.board, self._shared.generation
        return any(
            board.failed_generation(slot.index) >= number > board.generation(slot.index)
            for slot in self._slots.all
            if slot.pid
        )

    def turn(self) -> None:
        """Send to each child whose channel has room, and close what no child needs any more."""
        self._close_left()
        if self._body < 0 and self._members < 0:
            return
        number, board = self._shared.generation, self._shared.board
        behind = [slot for slot in self._slots.all if slot.pid and slot.sent < number]
        for slot in behind:
            answered = max(board.generation(slot.index), board.failed_generation(slot.index)) >= slot.sent
            if answered and slot.channel is not None and self._send(slot):
                slot.sent = number
        if all(slot.sent >= number for slot in behind):
            self._forget_bodies()
        least = min((slot.sent for slot in self._slots.all if slot.pid), default=number)
        for area in [area for area in self._areas if area.number <= least]:
            os.close(area.room.fd)
            self._areas.remove(area)

    def _send(self, slot: Slot) -> bool:
        assert slot.channel is not None
        shared = self._shared
        if shared.board.generation(slot.index) >= shared.configured and self._members >= 0:
            return slot.channel.send(MEMBERS, {"number": shared.generation}, body=self._members)
        if self._body < 0:  # it could not apply the configuration: perhaps it can with other members
            try:
                self._body = packed(shared.configuration, shared.discovered, shared.rows)
            except OSError:
                return False
        is_worker = slot is not self._slots.keeper
        bound = self._shared.bindings.accepting(slot.index) if is_worker else []
        areas = [area for area in self._areas if area.number > slot.sent]
        facts = {
            "number": self._shared.generation,
            "sockets": [len(every) for every in bound],
            "feeds": [area.room.longest for area in areas],
        }
        fds = [sock.fileno() for every in bound for sock in every] + [area.room.fd for area in areas]
        return slot.channel.send(GENERATION, facts, body=self._body, descriptors=fds)

    def _new_area(self, configuration: Configuration, rows: RowNumbers, number: int) -> None:
        """Make room in the feed for key sources that have none, or need more."""
        feed = self._shared.feed
        if feed is None:
            return
        directory = self._shared.directory if configuration.state_directory is not None else None
        room = make_room(feed, issuer_instances(configuration, rows.issuers), directory)
        if room is not None:
            self._areas.append(_Area(number, room))

    def _retire(self, bindings: Bindings, number: int) -> None:
        before = [*self._left, _Left(number, self._shared.bindings)]
        self._left = []
        for left in before:
            left.bindings = left.bindings.part(name for name in left.bindings.names if name not in bindings.names)
            if left.bindings.names:
                self._left.append(left)

    def _close_left(self) -> None:
        """Our copy of a socket would queue clients that nobody serves: it stops listening as soon as the worker of its slot has given it up."""
        for left in list(self._left):
            left.bindings.borrowed = self._shared.bindings.borrowed
            for slot in self._slots.workers:
                gone = not slot.pid or self._shared.board.generation(slot.index) >= left.number
                if gone and slot.index not in left.refused:
                    left.refused.add(slot.index)
                    left.bindings.refuse(slot.index)
            if len(left.refused) == len(self._slots.workers):
                left.bindings.refuse(None)
                left.bindings.close()
                self._left.remove(left)

    def _forget_bodies(self) -> None:
        for fd in (self._body, self._members):
            if fd >= 0:
                os.close(fd)
        self._body = self._members = -1

    def close(self) -> None:
        """Give everything back."""
        self._forget_bodies()
        for area in self._areas:
            os.close(area.room.fd)
        for left in self._left:
            left.bindings.close()
        self._areas, self._left = [], []


def _endpoints(configuration: Configuration) -> list[object]:
    """The members of all clusters, in their order."""
    return [(name, cluster.endpoints) for name, cluster in configuration.clusters.items()]
