"""Where keys come from and what they may be used with: what is unwise about key sources and algorithms."""

from collections.abc import Iterator
from typing import Final

from lbjwt.config.checks.words import warning
from lbjwt.config.fields import is_hmac
from lbjwt.config.issuer import Issuer
from lbjwt.config.model import Configuration
from lbjwt.config.problems import KeyPath, Problem
from lbjwt.config.remote import KeyFetch
from lbjwt.config.url import is_loopback_url

__all__ = ["check_keys"]

_MINUTE: Final = 60.0
_HOUR: Final = 3_600.0
_DAY: Final = 86_400.0
_SOON: Final = 10.0  # seconds between two fetches that only tests need
_LARGE_DOCUMENT: Final = 4 << 20
# Bytes of a signature (FIPS 204 table 2), and what a header and a few claims need beside it.
_MLDSA: Final = {"ML-DSA-44": 2420, "ML-DSA-65": 3309, "ML-DSA-87": 4627}
_REST_OF_A_TOKEN: Final = 1024


def check_keys(configuration: Configuration) -> Iterator[Problem]:
    """Algorithms, fetches and secrets of each issuer."""
    for label, issuer in configuration.issuers.items():
        path: KeyPath = ("issuers", label)
        yield from _algorithms(path, issuer, configuration.limits.max_token)
        if issuer.secret_env is not None:
            yield warning(
                (*path, "secret_env"),
                "secret-in-environment",
                "an environment is inherited by every child and shown by debuggers and crash reports; a file of mode 600 is not",
            )
        if issuer.fetch is not None:
            here = (*path, issuer.key_source)
            yield from _way(here, issuer, issuer.fetch)
            yield from _times(here, issuer.fetch)


def _algorithms(path: KeyPath, issuer: Issuer, max_token: int) -> Iterator[Problem]:
    algorithms = issuer.algorithms or ()
    if any(map(is_hmac, algorithms)) and not all(map(is_hmac, algorithms)):
        message = "HS and public-key algorithms for one issuer invite algorithm confusion (RFC 8725 §3.1); the HS ones are never used here"
        yield warning((*path, "algorithms"), "hmac-and-public-keys", message)
    for at, algorithm in enumerate(algorithms):
        if algorithm == "ES256K":
            yield warning(
                (*path, "algorithms", at),
                "algorithm-rare",
                "secp256k1 is for ledgers and wallets (RFC 8812 §3.2); issuers of access tokens use ES256 or EdDSA",
            )
        if (_MLDSA.get(algorithm, 0) * 4 + 2) // 3 + _REST_OF_A_TOKEN > max_token and algorithm in _MLDSA:
            yield warning(
                ("limits", "max_token"),
                "token-limit-signature",
                f"a token with an {algorithm} signature and a few claims is longer, and refused",
            )


def _way(here: KeyPath, issuer: Issuer, fetch: KeyFetch) -> Iterator[Problem]:
    uri = issuer.remote_jwks.uri if issuer.remote_jwks is not None else issuer.issuer or ""
    key = "uri" if issuer.remote_jwks is not None else "allow_http"
    if uri.startswith("http:") and not is_loopback_url(uri):
        yield warning(
            (*here, key), "jwks-plain-http", "keys come over plain http: whoever is on the way can sign any token"
        )
    for key in ("ca_file", "client_certificate"):
        if uri.startswith("http:") and getattr(fetch, key) is not None:
            yield warning((*here, key), "jwks-tls-unused", "plain http has no certificates: this is never looked at")
    if fetch.max_bytes > _LARGE_DOCUMENT:
        yield warning(
            (*here, "max_bytes"),
            "jwks-size-large",
            "whoever can answer in the issuer's place may fill this much memory",
        )


def _times(here: KeyPath, fetch: KeyFetch) -> Iterator[Problem]:
    if fetch.longest_interval > _HOUR:
        key = "refresh_interval" if fetch.refresh_interval > _HOUR else "max_refresh"
        yield warning((*here, key), "jwks-refresh-slow", "a key the issuer withdrew is believed for over an hour")
    if fetch.shortest_interval < _SOON:
        key = "refresh_interval" if fetch.refresh_interval < _SOON else "min_refresh"
        yield warning(
            (*here, key),
            "jwks-refresh-fast",
            "the issuer is asked more than six times a minute, by each balancer",
        )
    if fetch.timeout >= fetch.refresh_interval:
        yield warning((*here, "timeout"), "jwks-timeout-long", "a fetch may last longer than the interval between two")
    if fetch.cooldown > _MINUTE:
        yield warning(
            (*here, "cooldown"),
            "jwks-cooldown-long",
            "tokens of a new key may be refused for minutes after it came into use",
        )
    if fetch.cooldown < _SOON / 2:
        yield warning(
            (*here, "cooldown"),
            "jwks-cooldown-short",
            "made-up key ids can make the issuer be asked every few seconds, for ever",
        )
    if fetch.max_stale > _DAY:
        yield warning(
            (*here, "max_stale"),
            "jwks-stale-long",
            "while the issuer cannot be reached, a key it withdrew is believed for days",
        )
    if fetch.max_stale < fetch.longest_interval:
        yield warning(
            (*here, "max_stale"),
            "jwks-stale-short",
            "an answer may be fresh for longer than this: keys would lapse, and every token get 503, while the issuer is well",
        )
