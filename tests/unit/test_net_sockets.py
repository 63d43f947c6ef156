"""From addresses to bound sockets: shared ports, refusals before somebody listens, errors in words."""

import errno
import socket

import pytest

from lbjwt.address import Address
from lbjwt.net import sockets
from lbjwt.net.sockets import BindError, backlog, bind, close, stop_listening

LOOPBACK = Address("127.0.0.1", 0)


@pytest.fixture
def opened():
    """Sockets closed at the end of the test."""
    keep = []
    yield keep
    close(keep)


def connects(port):
    with socket.socket() as client:
        client.settimeout(2)
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_every_worker_gets_a_socket_on_the_same_port(opened):
    """Three sets on port 0 share the port that the kernel chose, none blocks, and none leaks into a program that is executed."""
    sets = bind(LOOPBACK, key="listeners[0].address", copies=3)
    found = [sock for one in sets for sock in one]
    opened += found
    assert [len(one) for one in sets] == [1, 1, 1]
    assert len({sock.getsockname() for sock in found}) == 1
    assert not any(sock.getblocking() or sock.get_inheritable() for sock in found)


def test_a_bound_socket_refuses_until_somebody_listens(opened):
    """A client is refused rather than queued while there is nobody to answer."""
    ((sock,),) = bind(LOOPBACK, key="k")
    opened.append(sock)
    port = sock.getsockname()[1]
    assert not connects(port)
    sock.listen(backlog())
    assert connects(port)


def test_a_slot_taken_out_of_rotation_gets_no_client_and_comes_back(opened):
    """After `stop_listening` on one of two sockets every client goes to the other; a second listen brings the first one back."""
    (first,), (second,) = bind(LOOPBACK, key="k", copies=2)
    opened += [first, second]
    first.listen(64)
    second.listen(64)
    port = first.getsockname()[1]
    stop_listening([first])
    for _ in range(20):
        assert connects(port)
        second.accept()[0].close()
    first.listen(64)
    stop_listening([second])
    assert connects(port)
    first.accept()[0].close()


def test_a_port_in_use_is_named_with_its_key():
    """A port where somebody listens, even with SO_REUSEPORT, is an error that names the key and the address."""
    with socket.socket() as owner:
        owner.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        owner.bind(("127.0.0.1", 0))
        owner.listen()
        port = owner.getsockname()[1]
        with pytest.raises(BindError) as caught:
            bind(Address("127.0.0.1", port), key="listeners[1].address", copies=2)
    assert (
        str(caught.value)
        == f"listeners[1].address: cannot listen on 127.0.0.1:{port}: the port is in use by another process"
    )


def test_a_port_that_was_closed_just_now_can_be_had_again(opened):
    """Connections in TIME_WAIT do not keep a restarted balancer from its port."""
    ((sock,),) = bind(LOOPBACK, key="k")
    sock.listen(8)
    port = sock.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port), timeout=2)
    server = sock.accept()[0]
    server.close()  # the side that closes first keeps TIME_WAIT
    client.close()
    sock.close()
    ((again,),) = bind(Address("127.0.0.1", port), key="k")
    opened.append(again)
    assert again.getsockname()[1] == port


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (Address("192.0.2.1", 8080), "this machine does not have the address"),
        (Address("no-such-host.invalid", 8080), "the host name does not resolve"),
    ],
)
def test_addresses_that_cannot_be_had(address, sentence):
    """An address of another machine and a name without an address are told apart."""
    with pytest.raises(BindError, match=sentence):
        bind(address, key="admin.address")


def test_all_addresses_are_two_sockets_so_that_ipv4_peers_look_like_ipv4(opened):
    """An empty host listens on IPv4 and IPv6 separately: a peer never appears as ::ffff:127.0.0.1."""
    (found,) = bind(Address("", 0), key="k")
    opened += found
    assert found[0].family == socket.AF_INET
    assert len({sock.getsockname()[1] for sock in found}) == 1
    for sock in found[1:]:
        assert sock.family == socket.AF_INET6
        assert sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_all_addresses_on_a_machine_without_ipv6(opened, monkeypatch):
    """Where IPv6 is switched off, an empty host means all IPv4 addresses."""
    new = sockets._new

    def without_ipv6(place):
        if place[0] == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6")
        return new(place)

    monkeypatch.setattr(sockets, "_new", without_ipv6)
    sets = bind(Address("", 0), key="k", copies=2)
    opened += [sock for one in sets for sock in one]
    assert [[sock.family for sock in one] for one in sets] == [[socket.AF_INET], [socket.AF_INET]]


@pytest.mark.parametrize("missing", ["192.0.2.1", "::1"], ids=["an address of another machine", "no IPv6"])
@pytest.mark.parametrize("order", [1, -1], ids=["first", "last"])
def test_a_name_is_bound_where_this_machine_has_it(opened, monkeypatch, missing, order):
    """Of the addresses of a name, such as ::1 of localhost, those that are not here are left out; when none is here, that is an error."""
    here, new = "127.0.0.1", sockets._new
    resolved = [(socket.AF_INET6 if ":" in host else socket.AF_INET, 1, 6, "", (host, 0)) for host in (missing, here)][
        ::order
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: resolved)

    def without_ipv6(place):
        if place[0] == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return new(place)

    monkeypatch.setattr(sockets, "_new", without_ipv6)
    sets = bind(Address("localhost", 0), key="k", copies=2)
    opened += [sock for one in sets for sock in one]
    assert [[sock.getsockname()[0] for sock in one] for one in sets] == [[here], [here]]
    resolved.remove(next(one for one in resolved if one[4][0] == here))
    with pytest.raises(BindError, match="k: cannot listen on localhost:0: "):
        bind(Address("localhost", 0), key="k")


def test_a_failure_gives_back_what_was_bound_already(monkeypatch):
    """When the second copy fails, the first one and the placeholder are closed: the port is free again."""
    made = []
    real = sockets._bind_one

    def once(place, port):
        if len(made) == 2:
            raise OSError(errno.EACCES, "no")
        made.append(real(place, port))
        return made[-1]

    monkeypatch.setattr(sockets, "_bind_one", once)
    with pytest.raises(BindError, match="CAP_NET_BIND_SERVICE"):
        bind(LOOPBACK, key="k", copies=2)
    assert [sock.fileno() for sock in made] == [-1, -1]


def test_the_queue_is_as_long_as_the_kernel_grants():
    """The backlog is net.core.somaxconn."""
    with open("/proc/sys/net/core/somaxconn", encoding="ascii") as file:
        assert backlog() == int(file.read())


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_socket_can_listen_again_however_often_it_was_stopped(times: int) -> None:
    """A client that is accepted after the next listen(2) can send: it does not look as if it had closed its side."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        stop_listening([listener])  # before it ever listened
        listener.listen()
        for _ in range(times):
            stop_listening([listener])
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"hello")
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(5) == b"hello"
                accepted.settimeout(0.05)
                with pytest.raises(TimeoutError):
                    accepted.recv(5)
