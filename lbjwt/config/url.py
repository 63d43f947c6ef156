"""
URLs in a configuration: those that keys are fetched from, and those that are only told to clients.

Knows the spelling: nothing is resolved and nothing opened here. The rules are stricter than RFC 3986, because more than one program reads
a URL after us and none may see another host in it. A bad one raises ``ValueError`` with a sentence for the person who wrote it.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

__all__ = ["TENANT", "check_fetchable", "check_identifier", "check_proxy", "check_url", "is_loopback_url"]

TENANT: Final = "{tenant}"
"""What stands for the name of a tenant in an issuer and in the address of its keys."""

_TEXT: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)  # RFC 3986 §2
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*", re.ASCII)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
# Addresses of the metadata services of clouds that are not link-local, and their names.
_METADATA: Final = frozenset(
    {"100.100.100.200", "fd00:ec2::254", "metadata", "metadata.google.internal", "metadata.goog", "instance-data"}
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052 §2.1


def check_url(text: str) -> SplitResult:
    """Return the parts of an http or https URL without user, password and fragment."""
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a bad port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an https URL")
    if not _TEXT.fullmatch(text):
        raise ValueError(
            "a URL has ASCII letters, digits and some signs only; a backslash, a quote or a space is none of them"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or a password")
    host = parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc
    if not _HOST.fullmatch(host):
        raise ValueError("the host of a URL is a name or an address")
    if parts.fragment or text.endswith("#"):
        raise ValueError("must not have a fragment")
    return parts


def check_identifier(text: str) -> str:
    """A URL that is compared to the letter and told to clients: https, or http to this machine; no query (RFC 8414 §2, RFC 9728 §1.2)."""
    parts = check_url(text)
    if set("[]") & set(parts.path):
        raise ValueError("must not have brackets in its path")
    if parts.query or "?" in text:
        raise ValueError("must not have a query")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must be an https URL; plain http is for this very machine only")
    return text


def check_fetchable(uri: str) -> str:
    """
    A URL that keys may be fetched from: no credentials in a file that people copy around, and not the metadata services of clouds.

    ``{tenant}`` may stand in it. Addresses in the spellings that only resolvers know (one number, octal, hexadecimal) are refused, because
    they hide what they are (THREATS B8).
    """
    try:
        parts = check_url(uri.replace(TENANT, "tenant"))
    except ValueError as error:
        if str(error) == "must be an https URL":
            raise ValueError("must be an https URL; a file goes under jwks_file") from None
        raise
    host = (parts.hostname or "").rstrip(".")
    if host in _METADATA:
        raise ValueError("cloud metadata is not fetched from")
    address = _address(host)
    if address is None and _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise ValueError("the host looks like an IPv4 address but is none")
    if address is not None and address.is_link_local:
        raise ValueError("link-local addresses are not fetched from: cloud metadata lives there")
    if address is not None and (address.is_unspecified or address.is_multicast):
        raise ValueError("the host is no address of one machine")
    return uri


def check_proxy(uri: str | None) -> str | None:
    """The URL of an HTTP proxy: a host and a port, in plain http, for what goes through it is a tunnel."""
    if uri is None:
        return None
    parts = check_url(uri)
    if parts.scheme != "http" or parts.path not in ("", "/") or "?" in uri:
        raise ValueError("a proxy is http://HOST:PORT")
    return uri


def is_loopback_url(uri: str) -> bool:
    """True when the URL's host is this machine."""
    host = urlsplit(uri).hostname or ""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


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
