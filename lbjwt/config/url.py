"""URLs of keys and proxies. An invalid one raises ``ValueError``."""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

from lbjwt.address import is_loopback
from lbjwt.auth.issuer_pattern import TENANT
from lbjwt.url import split_url

_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
# Addresses of the metadata services of clouds that are not link-local, and their names.
_METADATA: Final = frozenset(
    {"100.100.100.200", "fd00:ec2::254", "metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1


def check_fetchable(uri: str) -> str:
    """
    Return a URL that keys may be fetched from: without credentials, and not of a cloud metadata service. It may contain ``{tenant}``.

    IPv4 addresses in other notations (one number, octal, hexadecimal) are refused, because they hide the address (THREATS B8).
    """
    parts = split_url(uri.replace(TENANT, "tenant"))
    host = (parts.hostname or "").rstrip(".")
    if host in _METADATA:
        raise ValueError("lbjwt never fetches from cloud metadata services; use another host")
    address = _address(host)
    if address is None and _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise ValueError("the host looks like an IPv4 address but is not a valid one")
    if address is not None and address.is_link_local:
        raise ValueError("lbjwt never fetches from link-local addresses, where cloud metadata services are")
    if address is not None and (address.is_unspecified or address.is_multicast):
        raise ValueError("the host must be the address of a single machine")
    return uri


def check_proxy(uri: str) -> str:
    """Return the URL of an HTTP proxy: plain http, a host and a port."""
    parts = split_url(uri)
    if parts.scheme != "http" or parts.path not in ("", "/") or "?" in uri:
        raise ValueError("a proxy must have the form http://HOST:PORT")
    return uri


def is_loopback_url(uri: str) -> bool:
    return is_loopback(urlsplit(uri).hostname or "")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, the IPv4 one inside an IPv6 one; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address
