"""
The text of http and https URLs: which ones are taken, wherever one is configured or comes in a document.

Stricter than RFC 3986 §3, because other programs read a URL after us and none may see another host in it. The ``ValueError`` of a refused URL
does not repeat it, because it may hold a secret.
"""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_URL: Final = 2048
"""Characters."""

URL_TEXT: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)  # RFC 3986 §2
_THIS_MACHINE: Final = ("localhost", "127.0.0.1", "::1")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)


def split_url(text: str) -> SplitResult:
    """
    Return the parts of an http or https URL without user, password and fragment.

    Raises:
        ValueError: Any other text.
    """
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises for a bad port
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an https URL")
    if len(text) > MAX_URL:
        raise ValueError(f"a URL must have at most {MAX_URL} characters")
    if not URL_TEXT.fullmatch(text):
        raise ValueError(
            "a URL may contain only ASCII letters, digits and URL punctuation; percent-encode spaces, quotes and backslashes"
        )
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not contain a user name or a password")
    if not _HOST.fullmatch(parts.netloc.rpartition(":")[0] if parts.port is not None else parts.netloc):
        raise ValueError("the host of a URL must be a name or an IP address")
    if "#" in text:
        raise ValueError("must not have a fragment (#)")
    return parts


def check_identifier(url: str) -> str:
    """
    Return a URL that clients compare to the letter and are told: https, or http to this machine; no query (RFC 8414 §2, RFC 9728 §1.2).

    Raises:
        ValueError: Any other URL.
    """
    parts = split_url(url)
    if set("[]") & set(parts.path):
        raise ValueError("must not have brackets in its path")
    if "?" in url:
        raise ValueError("must not have a query")
    if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
        raise ValueError("must be an https URL; plain http is allowed for loopback addresses only")
    return url
