"""The metadata of a protected resource: RFC 9728 sections 2 and 3."""

import json

import pytest

from lbjwt.auth.resource import metadata_document, metadata_path, metadata_url
from lbjwt.routing._router import Found, Router
from lbjwt.url import check_identifier


def test_the_document_says_what_a_client_needs():
    """All members under their registered names; lists as lists."""
    document = metadata_document(
        resource="https://api.example/mcp",
        authorization_servers=("https://login.example", "https://login.example/tenants/7"),
        scopes_supported=("read", "write"),
        bearer_methods_supported=("header", "query"),
        resource_name="The API, für alle",
        resource_documentation="https://api.example/docs",
    )
    assert json.loads(document) == {
        "resource": "https://api.example/mcp",
        "authorization_servers": ["https://login.example", "https://login.example/tenants/7"],
        "scopes_supported": ["read", "write"],
        "bearer_methods_supported": ["header", "query"],
        "resource_name": "The API, für alle",
        "resource_documentation": "https://api.example/docs",
    }
    assert document.isascii()


def test_what_is_empty_is_left_out():
    """RFC 9728 section 3.2; an empty list of methods is a statement of its own (section 2)."""
    bare = metadata_document(resource="https://api.example", authorization_servers=())
    assert json.loads(bare) == {"resource": "https://api.example", "bearer_methods_supported": ["header"]}
    cookie = metadata_document(resource="https://a.example", authorization_servers=(), bearer_methods_supported=())
    assert json.loads(cookie)["bearer_methods_supported"] == []


@pytest.mark.parametrize(
    ("resource", "path"),
    [
        ("https://api.example", "/.well-known/oauth-protected-resource"),
        ("https://api.example/", "/.well-known/oauth-protected-resource"),
        ("https://api.example:8443/mcp", "/.well-known/oauth-protected-resource/mcp"),
        ("https://api.example/a/b/", "/.well-known/oauth-protected-resource/a/b/"),
        ("http://127.0.0.1:8080/x", "/.well-known/oauth-protected-resource/x"),
        ("http://[::1]:8080", "/.well-known/oauth-protected-resource"),
    ],
)
def test_the_document_has_its_place(resource: str, path: str):
    """RFC 9728 section 3.1: between host and path, without the slash of an empty path; and the router finds it there."""
    assert metadata_path(resource) == path
    origin = "/".join(resource.split("/")[:3])
    assert metadata_url(resource) == origin + path
    assert Router([], {path.encode(): 1}).find(b"GET", b"api.example", path.encode()) == (Found.OWN - 1, path.encode())


@pytest.mark.parametrize(
    "url",
    [
        *("", "api.example", "http://api.example", "http://localhost.example/", "https://", "https:///x", "ftp://api.example/"),
        *("https://api.example/?q", "https://api.example#f", "https://api.example/a b", "https://user@api.example", "https://api.example/é"),
        *("https://api.example\n", "https://api.example/\r\nX: y", 'https://api.example/"'),
    ],
)  # fmt: skip
def test_addresses_a_client_could_not_trust(url: str):
    """https without userinfo, query and fragment, or http on this very machine."""
    with pytest.raises(ValueError, match=r"URL|must not|a name or an address"):
        check_identifier(url)
