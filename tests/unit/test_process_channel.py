"""The channel of a child: what is sent arrives whole or says that it did not, and nobody waits."""

import fcntl
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lbjwt.process.channel import Channel, read_memory, sealed_memory


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_message_arrives_with_its_body_and_descriptors(ends: tuple[Channel, Channel]):
    """In order, closed at the next exec, and independent of what the sender does with its copies."""
    ours, theirs = ends
    body = sealed_memory(b"x" * 3_000_000)
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1], other.getsockname()[1]]
        assert ours.send("kind", {"number": 7}, body=body, descriptors=[one.fileno(), other.fileno()])
    os.close(body)
    assert ours.send("second", {})
    message = theirs.receive()
    assert message is not None
    assert (message.kind, message.facts, message.whole) == ("kind", {"number": 7}, True)
    assert read_memory(message.body) == read_memory(message.body) == b"x" * 3_000_000
    assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in [message.body, *message.descriptors])
    received = [socket.socket(fileno=fd) for fd in message.descriptors]
    message.descriptors = []
    assert [sock.getsockname()[1] for sock in received] == ports
    for sock in received:
        sock.close()
    message.close()
    second = theirs.receive()
    assert second is not None and (second.kind, second.body, second.descriptors) == ("second", -1, [])
    assert theirs.receive() is None


def test_nobody_waits_for_room(ends: tuple[Channel, Channel]):
    """A child that takes nothing gets no more; what was sent is still there."""
    ours, theirs = ends
    sent = 0
    while ours.send("kind", {"number": sent}):
        sent += 1
    assert sent > 10
    for number in range(sent):
        message = theirs.receive()
        assert message is not None and message.facts == {"number": number}
    assert theirs.receive() is None
    assert ours.send("kind", {})


def test_the_end_is_told(ends: tuple[Channel, Channel]):
    """To who receives by EOFError, to who sends by False."""
    ours, theirs = ends
    ours.close()
    with pytest.raises(EOFError):
        theirs.receive()
    assert not theirs.send("kind", {})


def test_the_body_cannot_be_changed():
    """By nobody who has the descriptor: neither its bytes nor its length."""
    fd = sealed_memory(b"abc")
    for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 1), lambda: os.ftruncate(fd, 9)):
        with pytest.raises(PermissionError):
            change()
    assert read_memory(fd) == b"abc"
    os.close(fd)


def test_a_receiver_without_descriptors_left_knows_that_some_are_missing(ends: tuple[Channel, Channel]):
    """And keeps none of those that came."""
    ours, theirs = ends
    fds = [os.eventfd(0) for _ in range(20)]
    assert ours.send("kind", {}, descriptors=fds)
    before = len(list(Path("/proc/self/fd").iterdir()))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free + 4, limits[1]))
    try:
        message = theirs.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert message is not None and not message.whole
    message.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    for fd in fds:
        os.close(fd)
