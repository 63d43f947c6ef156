"""Where tokens are found and where they go on to: what is unwise about headers, cookies and queries that hold tokens."""

from collections.abc import Iterator

from lbjwt.config.checks.words import warning
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem

__all__ = ["check_places"]


def check_places(configuration: Configuration) -> Iterator[Problem]:
    """The ``from_…`` keys of each issuer."""
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        yield from _headers(path, issuer)
        yield from _cookies(path, issuer)
        yield from _params(path, issuer)
        if not configuration.forward_token:
            yield from _forwarded_anyway(path, issuer)
        if issuer.from_subprotocol and not configuration.allow_websocket:
            yield warning(
                (*path, "from_subprotocol"),
                "subprotocol-without-websocket",
                "allow_websocket is false: there is no handshake left to take a token from",
            )


def _headers(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    for at, header in enumerate(issuer.from_headers or ()):
        if header.name.lower() == "authorization" and not header.scheme:
            yield warning(
                (*path, "from_headers", at, "scheme"),
                "authorization-without-scheme",
                "credentials of every scheme, passwords of Basic among them, are then read as tokens (RFC 9110 §11.6.2)",
            )


def _cookies(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    for at, cookie in enumerate(issuer.from_cookies):
        if not cookie.name.startswith(("__Host-", "__Secure-")):
            yield warning(
                (*path, "from_cookies", at, "name"),
                "cookie-without-prefix",
                "any host below the same domain, and plain http, can put a token of its own in this cookie; __Host- forbids it",
            )


def _params(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    for at, param in enumerate(issuer.from_params):
        yield warning(
            (*path, "from_params", at),
            "query-token",
            "a URL ends in histories, in logs of others and in Referer; a token in it does, too (RFC 6750 §5.3)",
        )
        if param.forward:
            yield warning(
                (*path, "from_params", at, "forward"),
                "query-token-forwarded",
                "endpoints write the URL, token included, into their logs",
            )


def _forwarded_anyway(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    for key in ("from_headers", "from_cookies"):
        for at, place in enumerate(getattr(issuer, key) or ()):
            if place.forward:
                yield warning(
                    (*path, key, at, "forward"),
                    "token-forwarded-anyway",
                    "forward_token is false, and this place is passed on all the same",
                )
