"""
Redirects of browsers without a valid token to the configured login page, with the requested URL as a parameter.

The template alone decides the host. What the client sent (Host, path) goes behind the "?" or "#" of the template, fully percent-encoded, so
that it can neither end the header line nor become another parameter. The login page must still check where it sends people afterwards: that URL
has the host that the client named.

Source: RFC 9110 section 10.2.2, RFC 3986 section 2.1.
"""

import re
from urllib.parse import quote

from lbjwt.errors import ConfigurationError
from lbjwt.url import URL_TEXT, split_url

MAX_RETURN_URL = 4096  # bytes, once encoded: login pages and the proxies before them take lines of about 8 KiB

_PLACE = "{url}"
_PATH = re.compile(
    r"/(?!/)[A-Za-z0-9._~:/?#@!$&'()*+,;=%\[\]-]*"
)  # never "//host", nor a backslash, which browsers take for a slash


def redirect_template(text: str) -> bytes:
    """
    Check a template such as `https://login.example/start?return={url}`.

    Raises:
        ConfigurationError: Neither an http(s) URL nor a path, or `{url}` twice or before the "?" or "#".
    """
    before, place, after = text.partition(_PLACE)
    if set("{}") & set(before + after):
        raise ConfigurationError("{url} may be in the URL only once, and no other braces are allowed")
    if place and "?" not in before and "#" not in before:
        raise ConfigurationError(
            "{url} must be behind a ? or #; before it, the client could choose where the browser goes"
        )
    if not _PATH.fullmatch(before + after):
        try:
            split_url((before + after).partition("#")[0])
        except ValueError as error:
            raise ConfigurationError(str(error)) from None
        if not URL_TEXT.fullmatch(before + after):
            raise ConfigurationError("the part behind # may contain only ASCII letters, digits and URL punctuation")
    return text.encode("ascii")


def redirect_location(template: bytes, scheme: bytes, host: bytes, target: bytes) -> bytes:
    """
    The value of Location for one request.

    Args:
        template: As `redirect_template` returned it.
        scheme: `http` or `https`.
        host: As in the Host field; empty when none came.
        target: In origin-form, with the tokens cut out, because it ends up in the logs of the login page.

    Returns:
        The template with the URL of the request, fully percent-encoded. A URL over 4 KiB is cut down to the root of its host.
    """
    root = scheme + b"://" + host if host else b""
    url = quote(root + target, safe="")
    if len(url) > MAX_RETURN_URL:
        url = quote(root + b"/", safe="")
    return template.replace(_PLACE.encode("ascii"), url.encode("ascii"))
