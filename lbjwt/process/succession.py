"""
Who served before, and who serves next: what a supervisor knows of other programs that serve in its place. Each upgrade is an `Upgrade`; here is what
it takes over and hands on.
"""

import contextlib
import logging
import os
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Final

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.keys import key_sets
from lbjwt.assembly.state import InheritedState, StateDirectory
from lbjwt.keys.feed import StoredKeySet
from lbjwt.process import notify
from lbjwt.process.bindings import Bindings
from lbjwt.process.handover import Handover, Predecessor, kept_keys
from lbjwt.process.relay import Relay
from lbjwt.process.shared import Shared
from lbjwt.process.upgrade import POLL, Step, Upgrade

CHAIN_POLL: Final = 1.0
"""Seconds between two looks whether the process that stands for the service still lives."""

log = logging.getLogger("lbjwt.supervisor")


class Succession:
    """
    Args:
        predecessor: The program that this one replaces; None when it was started by itself.
    """

    def __init__(self, predecessor: Predecessor | None) -> None:
        self.predecessor = predecessor
        """None as soon as that program has given everything up."""
        self._draining: Predecessor | None = None  # the same one, until no request can begin there
        self.relay: Relay | None = None
        """What this process does when it has drained, after it was replaced; None: it ends."""
        self.handed_over = False
        """Another program serves."""
        self._upgrade: Upgrade | None = None
        self._chain: socket.socket | None = None
        if predecessor is not None and predecessor.handover.relay is not None:
            self._chain = socket.socket(fileno=predecessor.handover.relay)
            self._chain.setblocking(False)

    # --- the program before

    def inherited_state(self) -> InheritedState | None:
        """Its state directory."""
        if self.predecessor is None:
            return None
        left = self.predecessor.handover
        if left.directory is None or left.lock is None:
            return None
        return InheritedState(Path(left.directory), left.lock, left.temporary)

    def key_sets(self) -> list[StoredKeySet]:
        """What it had fetched."""
        return self.predecessor.keys() if self.predecessor is not None else []

    def mind_predecessor(self, shared: Shared, state: StateDirectory | None) -> None:
        """All processes of this program are ready: say so, and own everything as soon as the program before gives it up."""
        predecessor = self.predecessor
        if predecessor is None or (predecessor.handover.was_ready and not shared.board.ready):
            return  # all keys are gone, for instance: the program before serves better
        predecessor.tell_ready(directory=state is not None and state.borrowed)
        if predecessor.owns():
            self.predecessor, self._draining = None, predecessor
            shared.bindings.borrowed = False
            if state is not None:
                state.own()

    @property
    def is_old_serving(self) -> bool:
        """A request may still begin in the program before, which judges it by the configuration that it has."""
        if self._draining is not None and self._draining.is_finishing():
            self._draining.close()
            self._draining = None
        return self.predecessor is not None or self._draining is not None

    def leave(self) -> None:
        """In a child: give up the link to the program before."""
        for one in (self.predecessor, self._draining):
            if one is not None:
                one.close()

    @property
    def relay_is_gone(self) -> bool:
        """The process that stands for this service, started long ago, was killed: nobody can signal the service any more."""
        if self._chain is None:
            return False
        with contextlib.suppress(OSError):
            if self._chain.recv(1) == b"":
                self._chain.close()
                self._chain = None
                return True
        return False

    # --- the next program

    @property
    def under_way(self) -> bool:
        """There is an upgrade that has neither succeeded nor failed."""
        return self._upgrade is not None and self._upgrade.under_way

    @property
    def has_news_due(self) -> bool:
        """This program was replaced, and the new one waits to hear that no request will begin here any more."""
        return self.handed_over and self._upgrade is not None and self._upgrade.is_linked

    def finishing(self) -> None:
        """Tell it."""
        if self._upgrade is not None:
            self._upgrade.finishing()

    @property
    def awaited(self) -> bool:
        """A new program runs that was told to end, or whose start has failed."""
        return not self.handed_over and self._upgrade is not None and self._upgrade.pid != 0

    @property
    def patience(self) -> float:
        """Seconds until it is time to look again, if no signal comes."""
        if self.predecessor is not None or self.under_way:
            return POLL
        return CHAIN_POLL if self._chain is not None else float("inf")

    def begin(self, now: float) -> bool:
        """Begin an upgrade; False when that cannot be now, and the log says why. `look` does the rest."""
        if self.under_way:
            log.warning("SIGUSR2: an upgrade is under way already")
            return False
        if self.predecessor is not None:
            log.warning("SIGUSR2: the program before has not handed over yet")
            return False
        log.info("SIGUSR2: upgrading")
        # Process 1 must not end, or everything in its container does; others may when their service manager can be told who follows.
        relayed = os.getpid() == 1 or not notify.listens()
        self._upgrade = Upgrade(now, chain=self._chain, relayed=relayed)
        return True

    def look(
        self, now: float, shared: Shared, state: StateDirectory | None, control: int, mask: Collection[int]
    ) -> bool:
        """Go on with an upgrade. True when the new program serves, and `hand_over` is due."""
        upgrade = self._upgrade
        if upgrade is None:
            return False
        upgrade.look(now, control=control, handover=lambda: _handover(shared, state), mask=mask)
        if upgrade.step is Step.FAILED:
            shared.board.count_failed_upgrade()
            self._upgrade = None
        return upgrade.step is Step.SUCCEEDED

    def hand_over(self, bindings: Bindings, state: StateDirectory | None) -> int:
        """Leave everything to the new program; its process id."""
        upgrade = self._upgrade
        assert upgrade is not None
        bindings.borrowed = True
        if upgrade.took_directory and state is not None:
            state.give_up()
        self.handed_over = True
        self.relay = upgrade.hand_over()
        if self.relay is None and self._chain is None:
            notify.notify(f"MAINPID={upgrade.pid}")
        return upgrade.pid

    def pass_on(self, number: int) -> None:
        """A signal that is meant for the program that serves."""
        if self.relay is not None:
            self.relay.pass_on(number)

    def abort(self) -> None:
        """This service stops: so does a new program that is being started."""
        if self._upgrade is not None and not self.handed_over:
            self._upgrade.abort()

    def bury(self, *, kill: bool = False) -> None:
        """After `abort`: see whether it is gone, or kill it."""
        if self._upgrade is not None and not self.handed_over:
            self._upgrade.bury(kill=kill)


def _handover(shared: Shared, state: StateDirectory | None) -> Handover:
    """What the new program inherits; it adds how the two talk."""
    configuration = shared.configuration
    listeners = [(name, [sock.fileno() for sock in bound]) for name, bound in shared.bindings.by_listener()]
    admin = None
    if configuration.admin is not None:
        admin = str(configuration.admin.address), [sock.fileno() for sock in shared.bindings.admin]
    left = state.inheritance(shared.directory) if state is not None and shared.directory is not None else None
    keys = None
    if shared.feed is not None:
        keys = kept_keys(key_sets(issuer_instances(configuration, shared.rows.issuers), shared.feed))
    return Handover(
        parent=os.getpid(),
        link=-1,
        listeners=listeners,
        admin=admin,
        directory=None if left is None else str(left.path),
        lock=None if left is None else left.lock,
        temporary=left is not None and left.temporary,
        keys=keys,
        was_ready=shared.board.ready,
    )
