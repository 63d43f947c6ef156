"""
The metadata of a protected resource: the document from which a client learns whose tokens a route takes, and where it lives.

A client that was refused reads `resource_metadata` in the challenge, gets this document, and finds its way to the issuer without being told
anything beforehand (MCP clients do). Nothing in it is secret. Built when a configuration is loaded.

Source: RFC 9728 sections 2 and 3.
"""

import json
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from lbjwt.errors import ConfigurationError

__all__ = ["ProtectedResource", "metadata_document", "metadata_path", "metadata_url"]

WELL_KNOWN = "/.well-known/oauth-protected-resource"

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:/[A-Za-z0-9._~:/@!$&'()*+,;=%-]*)?"
)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_METHODS = frozenset({"header", "body", "query"})  # RFC 6750 section 2; there is no word for a cookie


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedResource:
    """
    What a route says of itself. Names are those of RFC 9728 section 2.

    Attributes:
        resource: The identifier of the resource: an https URL, the start of every URL of the route. Clients compare it to the letter.
        authorization_servers: Identifiers of the issuers whose tokens are taken.
        scopes_supported: Scopes worth asking for.
        bearer_methods_supported: How a token may be sent: header, body, query. Empty: in none of these ways; None: not said.
        resource_name: For people.
        resource_documentation: An address for developers.

    Raises:
        ConfigurationError: An address that is not an http(s) URL, an http one elsewhere than on this very machine, or an unknown way to send.
    """

    resource: str
    authorization_servers: tuple[str, ...]
    scopes_supported: tuple[str, ...] = ()
    bearer_methods_supported: tuple[str, ...] | None = ("header",)
    resource_name: str | None = None
    resource_documentation: str | None = None

    def __post_init__(self) -> None:
        _check(self.resource, "the resource")
        for server in self.authorization_servers:
            _check(server, "the authorization server")
        if self.resource_documentation is not None:
            _check(self.resource_documentation, "the documentation")
        for method in self.bearer_methods_supported or ():
            if method not in _METHODS:
                raise ConfigurationError(f"{method!r} is not a way to send a token: header, body or query")


def metadata_document(resource: ProtectedResource) -> bytes:
    """The document (RFC 9728 section 3.2): what is empty is left out."""
    members: dict[str, object] = {"resource": resource.resource}
    for name in ("authorization_servers", "scopes_supported", "resource_name", "resource_documentation"):
        value = getattr(resource, name)
        if value:
            members[name] = value
    if resource.bearer_methods_supported is not None:
        members["bearer_methods_supported"] = resource.bearer_methods_supported
    return json.dumps(members, indent=2).encode("ascii") + b"\n"


def metadata_path(resource: str) -> str:
    """Where the document of a resource lives: the well-known path, then that of the resource, without the slash of an empty one."""
    path = _check(resource, "the resource")
    return WELL_KNOWN + ("" if path == "/" else path)


def metadata_url(resource: str) -> str:
    """The address of the document, for the challenge (RFC 9728 sections 3.1 and 5.1)."""
    path = metadata_path(resource)
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{path}"


def _check(url: str, what: str) -> str:
    """The path of a URL without userinfo, query and fragment."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ConfigurationError(f"{what} {url!r} is not an https URL without query and fragment")
    if match["scheme"] == "http" and match["host"].lower() not in _LOOPBACK:
        raise ConfigurationError(f"{what} {url!r} must be an https URL: http is for this very machine only")
    return urlsplit(url).path
