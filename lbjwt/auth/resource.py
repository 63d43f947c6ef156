"""
The metadata of a protected resource: the document that tells a client which issuers' tokens a route accepts, and its path.

A refused client finds it by `resource_metadata` in the challenge; MCP clients do. Nothing in it is secret. Built when a configuration is loaded.

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
    The document (RFC 9728 section 3.2), without empty members. Section 2 defines the members.

    Args:
        resource: A URL that `check_identifier` accepts. Clients compare it byte by byte.
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


def resource_path(resource: str) -> str:
    """The path of a resource, which must be one that a route could have: clients ask for the document below it."""
    return urlsplit(resource).path or "/"


def metadata_path(resource: str) -> str:
    """The path of the document (RFC 9728 section 3.1)."""
    path = resource_path(resource)
    return WELL_KNOWN + ("" if path == "/" else path)


def metadata_url(resource: str) -> str:
    """The URL of the document, for the challenge (RFC 9728 section 5.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{metadata_path(resource)}"
