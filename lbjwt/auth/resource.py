"""
The metadata of a protected resource: the document from which a client learns whose tokens a route takes, and where it lives.

A client that was refused reads `resource_metadata` in the challenge, gets this document, and finds its way to the issuer without being told
anything beforehand (MCP clients do). Nothing in it is secret. Built when a configuration is loaded.

Source: RFC 9728 sections 2 and 3.
"""

import json
from collections.abc import Sequence
from urllib.parse import urlsplit

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def metadata_document(
    *,
    resource: str,
    authorization_servers: Sequence[str],
    scopes_supported: Sequence[str] = (),
    bearer_methods_supported: Sequence[str] = ("header",),
    resource_name: str | None = None,
    resource_documentation: str | None = None,
) -> bytes:
    """
    The document (RFC 9728 section 3.2): what is empty is left out. Names are those of section 2.

    Args:
        resource: The identifier of the resource, a URL that `check_identifier` takes. Clients compare it to the letter.
        authorization_servers: Identifiers of the issuers whose tokens are taken.
        scopes_supported: Scopes worth asking for.
        bearer_methods_supported: How a token may be sent: header, query. Empty: in none of these ways.
        resource_name: For people.
        resource_documentation: A URL for developers.
    """
    members = {
        "resource": resource,
        "authorization_servers": authorization_servers,
        "scopes_supported": scopes_supported,
        "resource_name": resource_name,
        "resource_documentation": resource_documentation,
    }
    members = {name: value for name, value in members.items() if value}
    members["bearer_methods_supported"] = bearer_methods_supported
    return json.dumps(members, indent=2).encode("ascii") + b"\n"


def metadata_path(resource: str) -> str:
    """Where the document of a resource lives: the well-known path, then that of the resource, without the slash of an empty one."""
    path = urlsplit(resource).path
    return WELL_KNOWN + ("" if path == "/" else path)


def metadata_url(resource: str) -> str:
    """The address of the document, for the challenge (RFC 9728 sections 3.1 and 5.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{metadata_path(resource)}"
