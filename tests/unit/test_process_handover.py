"""What one program leaves to the next: sockets shared out among workers, the state directory and its lock, key sets, and who owns it all when."""

import json
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from lbjwt.assembly.state import StateDirectory, StateDirectoryError
from lbjwt.config.load import load_text
from lbjwt.config.model import Configuration
from lbjwt.keys.feed import StoredKeySet
from lbjwt.net.sockets import bind_beside
from lbjwt.process.bindings import Bindings
from lbjwt.process.handover import VARIABLE, YOURS, Handover, HandoverError, Predecessor, kept_keys

STORED = StoredKeySet("https://issuer.test/jwks", 1.0, 2.0, '{"keys": []}\n')


def configured(workers: int, *addresses: str) -> Configuration:
    listeners = ", ".join(f'{{address: "{address}"}}' for address in addresses or ["127.0.0.1:0"])
    return load_text(
        f"""
listeners: [{listeners}]
issuers: {{main: {{issuer: i, audiences: [a], jwks: {{keys: []}}}}}}
clusters: {{main: {{endpoints: [{{address: "127.0.0.1:9"}}]}}}}
workers: {workers}
""",
        Path.cwd(),
    )


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """What the programs of a test have open is closed behind it."""
    yield
    for old in Old.made:
        old.bindings.close()
        old.link.close()
    for predecessor in Old.replacing:
        predecessor.drop()
        predecessor.close()
    Old.made, Old.replacing = [], []


class Old:
    """A program that is replaced: its bindings, and its end of the link."""

    made: ClassVar[list["Old"]] = []
    replacing: ClassVar[list[Predecessor]] = []

    def __init__(self, configuration: Configuration, **left: object) -> None:
        self.made.append(self)
        self.bindings = Bindings.bind(configuration)
        for _, bound in self.bindings.by_listener():
            for sock in bound:
                sock.listen()
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listeners = [(name, [os.dup(sock.fileno()) for sock in bound]) for name, bound in self.bindings.by_listener()]
        self.handover = replace(
            Handover(parent=os.getpid(), link=theirs.detach(), listeners=listeners),
            **left,  # type: ignore[arg-type]
        )

    def replaced(self, monkeypatch: pytest.MonkeyPatch) -> Predecessor:
        monkeypatch.setenv(VARIABLE, self.handover.encoded())
        found = Predecessor.of_environment()
        assert found is not None
        self.replacing.append(found)
        assert VARIABLE not in os.environ
        return found

    @property
    def port(self) -> int:
        return int(self.bindings.of(0)[0].getsockname()[1])


@pytest.mark.parametrize(
    ("before", "after", "own", "shared"),
    [(2, 2, [1, 1], 0), (1, 3, [1, 1, 1], 0), (4, 2, [2, 2], 0), (5, 3, [1, 1, 1], 2)],
)
def test_every_socket_has_a_worker(
    monkeypatch: pytest.MonkeyPatch, before: int, after: int, own: list[int], shared: int
) -> None:
    """As many to each as to every other, and the rest to all: a client queued on any of them is accepted by somebody."""
    old = Old(configured(before))
    new = Bindings.bind(configured(after), old.replaced(monkeypatch))
    assert [len(new.of(slot)) for slot in range(after)] == own
    assert len(new.common[0]) == shared
    assert all(len(new.accepting(slot)[0]) == own[slot] + shared for slot in range(after))
    assert {sock.getsockname()[1] for _, bound in new.by_listener() for sock in bound} == {old.port}
    again = new.changed(configured(after))
    assert again.accepting(0) == new.accepting(0)
    left = new.part(new.names)
    assert [len(left.of(slot)) for slot in range(after)] == own
    assert len(left.common[0]) == shared
    new.close()


def test_borrowed_sockets_go_on_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the old program may go on, the new one must not take a socket out of the kernel's rotation; afterwards it may."""
    old = Old(configured(1))
    predecessor = old.replaced(monkeypatch)
    new = Bindings.bind(configured(1), predecessor)
    new.refuse(0)
    with socket.create_connection(("127.0.0.1", old.port), timeout=5):
        pass
    assert not predecessor.owns()
    old.link.send(YOURS)
    assert predecessor.owns()
    new.borrowed = False
    new.refuse(0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", old.port), timeout=5)
    new.close()


def test_a_dead_predecessor_gives_everything_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its end of the link is gone, without a word."""
    old = Old(configured(1))
    predecessor = old.replaced(monkeypatch)
    old.link.close()
    assert predecessor.owns()
    predecessor.drop()


def test_what_is_not_taken_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that is no longer configured: no copy of its socket is left here."""
    old = Old(configured(1, "127.0.0.1:0", "127.0.0.2:0"))
    predecessor = old.replaced(monkeypatch)
    fds = [fd for _, some in predecessor.handover.listeners for fd in some]
    new = Bindings.bind(configured(1), predecessor)
    predecessor.drop()
    os.fstat(fds[0])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fds[1])
    assert not os.get_inheritable(fds[0])
    new.close()


def test_key_sets_pass_whatever_is_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Line ends in a document too; without any there are none."""
    old = Old(configured(1), keys=kept_keys([STORED, STORED]))
    predecessor = old.replaced(monkeypatch)
    assert predecessor.keys() == [STORED, STORED]
    predecessor.drop()
    assert Old(configured(1)).replaced(monkeypatch).keys() == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "listeners": [7], "admin": null}']
)
def test_a_variable_of_somebody_else_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Nothing is guessed: the start ends, and the old program goes on."""
    monkeypatch.setenv(VARIABLE, text)
    with pytest.raises(HandoverError):
        Predecessor.of_environment()


def test_a_link_of_another_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel says who made the link: an environment that leaked into another program names numbers that mean nothing there."""
    handover = json.loads(Old(configured(1)).handover.encoded())
    monkeypatch.setenv(VARIABLE, json.dumps({**handover, "parent": os.getpid() + 1}))
    with pytest.raises(HandoverError, match="not meant for this process"):
        Predecessor.of_environment()


def test_one_more_socket_shares_the_port() -> None:
    """In its family and on its address."""
    bindings = Bindings.bind(configured(1))
    (sock,) = bindings.of(0)
    with bind_beside(sock) as other:
        assert other.getsockname() == sock.getsockname()
    bindings.close()


def test_the_lock_is_shared_until_both_have_let_it_go(tmp_path: Path) -> None:
    """The new program uses the inherited lock; a third one is refused as long as either of the two has the directory."""
    old = StateDirectory(tmp_path / "state")
    path = old.__enter__()
    left = old.inheritance(path)
    new = StateDirectory(tmp_path / "state", replace(left, lock=os.dup(left.lock)))
    assert new.__enter__() == path
    old.__exit__(None, None, None)
    with pytest.raises(StateDirectoryError), StateDirectory(tmp_path / "state"):
        pass
    new.__exit__(None, None, None)
    with StateDirectory(tmp_path / "state"):
        pass


@pytest.mark.parametrize("succeeds", [True, False])
def test_a_temporary_directory_is_removed_by_the_one_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, succeeds: bool
) -> None:
    """By the new program once it owns it, by the old one when the upgrade failed."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    old = StateDirectory(None)
    path = old.__enter__()
    left = old.inheritance(path)
    new = StateDirectory(None, replace(left, lock=os.dup(left.lock)))
    assert new.__enter__() == path
    assert new.borrowed
    if succeeds:
        old.give_up()
        new.own()
        old.__exit__(None, None, None)
        assert path.is_dir()
        new.__exit__(None, None, None)
    else:
        new.__exit__(None, None, None)
        assert path.is_dir()
        old.__exit__(None, None, None)
    assert not path.exists()


def test_an_inherited_lock_of_another_directory_is_let_go(tmp_path: Path) -> None:
    """The configuration names another place than before."""
    with StateDirectory(tmp_path / "before") as path:
        lock = os.open(path, os.O_RDONLY)
        old = StateDirectory(None)
        left = replace(old.inheritance(path), lock=lock)
        with StateDirectory(tmp_path / "after", left), pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(lock)
