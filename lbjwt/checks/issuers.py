"""What is dangerous about an issuer: who is believed, for which audience and how long, with which keys, and where tokens are looked for."""

from collections.abc import Iterator

from lbjwt.checks.codes import warning
from lbjwt.config.fields import is_hmac
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.url import is_loopback_url


def issuer_warnings(configuration: Configuration) -> Iterator[Problem]:
    """Warnings about each issuer, and about keys that two of them share."""
    sources: dict[tuple[str, str], str] = {}
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        yield from _trust(path, issuer)
        yield from _keys(path, issuer)
        yield from _locations(path, issuer, forwarded=configuration.forward_token)
        if issuer.any_audience:
            yield from _audience(label, configuration)
        key = issuer.key_source
        held = issuer.remote_jwks.uri if issuer.remote_jwks is not None else repr(getattr(issuer, key))
        first = sources.setdefault((key, held), label)
        if first != label and issuer.discovery is None:
            yield warning((*path, key), "keys-shared", at_key=True, other=first)
        if configuration.revocation is not None and issuer.max_lifetime is None:
            yield warning(path, "revocation-without-lifetime", at_key=True)


def _trust(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    if issuer.any_issuer:
        yield warning((*path, "any_issuer"), "any-issuer")
    if not issuer.require_expiration and issuer.max_lifetime is None:  # which asks for exp, too
        yield warning((*path, "require_expiration"), "expiration-optional")
    if issuer.any_audience and issuer.tenants is not None and issuer.tenants.kind is not None:
        yield warning((*path, "tenants", "kind"), "tenants-any-audience")
    names: list[tuple[KeyPath, str]] = [((*path, "issuer"), issuer.issuer or "")]
    for key in ("audiences", "subjects", "clients"):
        names += [((*path, key, index), name) for index, name in enumerate(getattr(issuer, key))]
    for place, name in names:
        if name != name.strip():
            yield warning(place, "name-with-spaces")
        if "*" in name:
            yield warning(place, "name-with-star")


def _audience(label: str, configuration: Configuration) -> Iterator[Problem]:
    """At the issuer without routes, else at each route that does not ask for an audience itself."""
    if not configuration.routes:
        yield warning(("issuers", label, "any_audience"), "any-audience")
    for at, route in enumerate(configuration.routes):
        required = route.require is None or label in route.require.labels
        if required and not route.public and not route.audiences:
            yield warning(("routes", at), "route-any-audience", at_key=True, issuer=label)


def _keys(path: KeyPath, issuer: Issuer) -> Iterator[Problem]:
    algorithms = issuer.algorithms or ()
    if any(map(is_hmac, algorithms)) and not all(map(is_hmac, algorithms)):
        yield warning((*path, "algorithms"), "hmac-and-public-keys")
    fetch = issuer.fetch
    if fetch is None:
        return
    here: KeyPath = (*path, issuer.key_source)
    uri = issuer.remote_jwks.uri if issuer.remote_jwks is not None else issuer.issuer or ""
    if uri.startswith("http:") and not is_loopback_url(uri):
        yield warning((*here, "uri" if issuer.remote_jwks is not None else "allow_http"), "jwks-plain-http")
    if fetch.max_stale < fetch.longest_interval:
        yield warning((*here, "max_stale"), "jwks-stale-short")


def _locations(path: KeyPath, issuer: Issuer, *, forwarded: bool) -> Iterator[Problem]:
    """Where a token is looked for: what would take one by mistake, let others plant one, or leak it."""
    for at, header in enumerate(issuer.from_headers or ()):
        if header.name.lower() == "authorization" and not header.scheme:
            yield warning((*path, "from_headers", at, "scheme"), "authorization-without-scheme")
    for at, cookie in enumerate(issuer.from_cookies):
        if not cookie.name.startswith(("__Host-", "__Secure-")):
            yield warning((*path, "from_cookies", at, "name"), "cookie-without-prefix")
    for at, param in enumerate(issuer.from_params):
        yield warning((*path, "from_params", at), "query-token")
        if param.forward:
            yield warning((*path, "from_params", at, "forward"), "query-token-forwarded")
    for key in ("from_headers", "from_cookies"):
        for at, location in enumerate(getattr(issuer, key) or ()):
            if location.forward and not forwarded:
                yield warning((*path, key, at, "forward"), "token-forwarded-anyway")
