"""
Addresses: ``HOST:PORT``, ``[v6]:PORT``, ``:PORT`` (all addresses) and ``unix:PATH``; of an endpoint also ``http://HOST:PORT`` and ``https://HOST:PORT``.

No name is resolved and no socket is opened here.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

# A DNS name, relative or absolute, as far as its characters and label lengths go (RFC 1123 §2.1; the underscore is met in container networks).
_NAME: Final = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?"
)
_PORT: Final = re.compile(r"[0-9]{1,5}", re.ASCII)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_EVERYWHERE: Final = frozenset(("", "0.0.0.0", "::"))
_LOOPBACK: Final = frozenset(("127.0.0.1", "::1"))
# sizeof(sockaddr_un.sun_path) is 108 on Linux, one byte of it for the terminating NUL.
_LONGEST_UNIX_PATH: Final = 107


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where to listen or to connect.

    ``host`` is a name or an IP address without brackets, ``""`` for all addresses; ``port`` is 0 when the kernel shall choose.
    A Unix socket has ``path`` and neither host nor port. ``https``: an endpoint that speaks TLS.
    """

    host: str = ""
    port: int = 0
    path: str | None = None
    https: bool = False
    srv: bool = False
    """``srv:NAME``, of an endpoint: host is the name of a service, whose SRV records (RFC 2782) say where it is. ``https+srv:NAME`` for TLS."""
    resolved_from: str = ""
    """The name that was resolved to this address; "" for one that was configured. The certificate of another name is another one to expect."""
    domain: str = ""
    """Of an address from SRV records: the domain of the service, see `service_domain`."""

    @property
    def is_unix(self) -> bool:
        """True for ``unix:PATH``."""
        return self.path is not None

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can reach it: a loopback address, ``localhost``, or a Unix socket."""
        return self.path is not None or is_loopback(self.host.lower().rstrip("."))

    @property
    def is_name(self) -> bool:
        """
        True when a name server knows its addresses. ``localhost`` is this machine (RFC 6761 section 6.3), whose two loopback addresses are one
        endpoint.
        """
        if self.srv:
            return True
        return bool(self.host) and not _is_literal(self.host) and self.host.lower().rstrip(".") != "localhost"

    @property
    def name(self) -> str:
        """What a `Host` header says: the name that was configured or that SRV records gave, also where its address is known."""
        return self.resolved_from or self.host

    @property
    def service_domain(self) -> str:
        """The domain in ``srv:_SERVICE._PROTOCOL.DOMAIN``; "" for any other address."""
        return self.host.split(".", 2)[2] if self.srv else ""

    @property
    def certified_name(self) -> str:
        """
        Whom a certificate must name: what was configured, and for SRV records the domain of the service. Their targets come from DNS without a proof,
        so an attacker who forges an answer could name a host with a valid certificate (RFC 9325 section 7.1, RFC 9525).
        """
        return self.domain or self.resolved_from or self.host

    @property
    def authority(self) -> str:
        """Host and port, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        if self.srv:
            return f"https+srv:{self.host}" if self.https else f"srv:{self.host}"
        return f"https://{self.authority}" if self.https else self.authority

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        Read one address.

        Raises:
            ValueError: Neither ``HOST:PORT``, ``[v6]:PORT``, ``:PORT`` nor ``unix:PATH``.
        """
        if text.startswith("unix:"):
            return cls(path=_unix_path(text[5:]))
        if "://" in text:
            raise ValueError(f"must be HOST:PORT, without a scheme and a path{_likely(text)}")
        host, colon, port = text.rpartition(":")
        if not colon:
            hint = f'; did you mean ":{text}"?' if _PORT.fullmatch(text) else ""
            raise ValueError(f"must be HOST:PORT, [IPV6]:PORT, :PORT or unix:PATH{hint}")
        if not _PORT.fullmatch(port) or int(port) > 65535:
            raise ValueError("the port after the last colon must be a number from 0 to 65535")
        return cls(_host(host), int(port))

    @classmethod
    def parse_endpoint(cls, text: str) -> Self:
        """
        Read the address of an endpoint. ``http://HOST:PORT`` is the same address as ``HOST:PORT``; without a port it is 80, and 443 for ``https``.

        Raises:
            ValueError: Neither that nor what `parse` reads.
        """
        scheme, separator, rest = text.partition("://")
        if not separator:
            return cls.parse(text)
        scheme = scheme.lower()
        if scheme not in _DEFAULT_PORTS:
            raise ValueError(f"must begin with http:// or https://, or be HOST:PORT or unix:PATH{_meant(scheme)}")
        if re.search(r"[/?#]", rest.removesuffix("/")):
            raise ValueError("must end after the port: lbjwt passes on the path of each request as it is")
        if "@" in rest:
            raise ValueError(
                "must not contain a user or a password; a client certificate belongs into the tls section of the cluster"
            )
        if rest.startswith("unix:"):
            raise ValueError("a Unix socket has no scheme; write unix:PATH")
        rest = rest.removesuffix("/")
        if not rest.removeprefix("[").rpartition("]")[2].rpartition(":")[1]:
            rest += f":{_DEFAULT_PORTS[scheme]}"
        found = cls.parse(rest)
        return cls(found.host, found.port, https=scheme == "https")


def loop_fault(endpoint: Address, listening: Iterable[Address]) -> str:
    """
    Return why an address cannot be an endpoint beside these listeners: requests would come back to lbjwt. "" when it can.

    `localhost` and an IPv4 address written as IPv6 are the addresses they stand for. A listener on all addresses has those of the loopback;
    which others this machine has is not known here.
    """
    for ours in listening:
        if endpoint.is_unix or ours.is_unix:
            same = endpoint.path == ours.path
        elif endpoint.port != ours.port:
            continue
        else:
            hosts = _hosts(endpoint.host)
            everywhere = ours.host in _EVERYWHERE and any(map(is_loopback, hosts))
            same = everywhere or not hosts.isdisjoint(_hosts(ours.host))
        if same:
            return f"is lbjwt's own listener {ours}, so requests would loop; write the address of a backend"
    return ""


def _hosts(host: str) -> frozenset[str]:
    """The literal addresses that a host of this machine stands for, else the host itself. Connecting to no address connects to the loopback."""
    host = host.lower().rstrip(".")
    if host == "localhost":
        return _LOOPBACK
    if host in _EVERYWHERE:
        return _LOOPBACK | {host}
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return frozenset((host,))
    return frozenset((str(getattr(address, "ipv4_mapped", None) or address),))


def check_host(host: str) -> str:
    """Return a name or an IP address without brackets in its canonical form; ValueError for anything else."""
    if not host:
        raise ValueError("must be a name or an IP address")
    return _host(f"[{host}]" if ":" in host else host)


def is_srv(text: str) -> bool:
    """True for what `parse_srv` reads."""
    return text.startswith(("srv:", "https+srv:"))


def parse_srv(text: str) -> Address:
    """
    Read ``srv:_SERVICE._PROTOCOL.DOMAIN`` or ``https+srv:_SERVICE._PROTOCOL.DOMAIN``.

    Raises:
        ValueError: The name has not this form.
    """
    scheme, _, name = text.partition("srv:")
    if not _NAME.fullmatch(name) or not re.match(r"_[^.]+\._[^.]+\.[^.]", name):
        raise ValueError("the name of a service must look like srv:_http._tcp.api.internal")
    return Address(name, https=bool(scheme), srv=True)


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """True for ``localhost`` and for every address of this machine's loopback, also for an IPv4 one written as IPv6 (RFC 4291 §2.5.5.2)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _meant(scheme: str) -> str:
    """What the writer of another scheme may have wanted."""
    match scheme:
        case "h2" | "h2c" | "grpc" | "grpcs":
            return "; lbjwt speaks HTTP/1.1 to endpoints"
        case "tcp" | "ws":
            return "; for this endpoint write http://"
        case "tls" | "ssl" | "wss":
            return "; for TLS write https://"
    return ""


def _likely(url: str) -> str:
    """What the writer of an http URL meant, when that is an address."""
    match = re.fullmatch(r"http://([^/?#@]+?)(:[0-9]{1,5})?/?", url, re.IGNORECASE)
    if match is None:
        return ""
    try:
        return f'; did you mean "{Address.parse(match[1] + (match[2] or ":80"))}"?'
    except ValueError:
        return ""


def _host(host: str) -> str:
    """Return the host without brackets; a literal address comes back in its canonical form, so that equal addresses compare equal."""
    if host == "":
        return ""
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError("only an IPv6 address may be in brackets") from None
    if ":" in host:
        raise ValueError("an IPv6 address needs brackets, such as [::1]:8080")
    try:
        return str(ipaddress.IPv4Address(host))
    except ValueError:
        pass
    if host == "*":
        raise ValueError('write ":PORT" to listen on all addresses')
    if host.rstrip(".").rpartition(".")[2].isdigit():
        raise ValueError("the host looks like an IPv4 address but is not a valid one")
    if "/" in host or not _NAME.fullmatch(host):
        raise ValueError("the host before the port must be a name or an IP address, without a scheme or a path")
    return host


def _unix_path(path: str) -> str:
    if not path:
        raise ValueError("write the path of the socket after unix:")
    if "\0" in path:
        raise ValueError("the path of a Unix socket must not contain a NUL character")
    if len(path.encode("utf-8", "surrogateescape")) > _LONGEST_UNIX_PATH:
        raise ValueError(f"the path of a Unix socket must have at most {_LONGEST_UNIX_PATH} bytes")
    return path
