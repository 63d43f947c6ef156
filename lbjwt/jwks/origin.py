"""
Where the keys of one remote source are, and how to ask for them: a URL, or an issuer whose metadata tells the URL.

Knows the last place and its entity tag. Does not know when to ask, nor whether what came is any good: it is told.
"""

import asyncio
import contextlib
import logging
import math
import time
from typing import TYPE_CHECKING, Final

from lbjwt.jwks.egress import Egress
from lbjwt.jwks.errors import JWKSFetchError
from lbjwt.jwks.trust import ClientTls
from lbjwt.jwks.uri import identity_of, place_of, same_origin

if TYPE_CHECKING:
    from lbjwt.jwks.fetch import Fetched

__all__ = ["KeyOrigin"]

TIMEOUT: Final = 5.0
"""Seconds for one document; asking an issuer, which may take three, lasts at most twice as long."""

MAX_BYTES: Final = 256 * 1024
"""Longest document accepted."""

REDISCOVERY: Final = 86_400.0
"""Seconds after which an issuer is asked again where its keys are, although they can be fetched."""

log = logging.getLogger("lbjwt.jwks")


class KeyOrigin:
    """
    One remote source.

    Args:
        uri: URL of the key set; or
        issuer: the issuer whose metadata tells it, exactly as it stands in tokens. One of the two.
        timeout: Seconds for one document.
        max_bytes: Longest document accepted.
        allow_http: Allow plain ``http`` to other than loopback addresses.
        tls: Private authority and client certificate.
        egress: Proxy and bearer token. The token goes to the origin of `uri` or of `issuer` only, not to where an issuer's metadata leads.

    Attributes:
        uri: Where the keys are; None while an issuer has not told.
        identity: Name of the place on disk, see `identity_of`.
        place: What messages call it.
        fetches: Requests for key documents.
        discoveries: Times that an issuer was asked for its metadata.

    Raises:
        ValueError: Neither or both of `uri` and `issuer` are given.
    """

    def __init__(
        self,
        *,
        uri: str | None = None,
        issuer: str | None = None,
        timeout: float = TIMEOUT,
        max_bytes: int = MAX_BYTES,
        allow_http: bool = False,
        tls: ClientTls | None = None,
        egress: Egress = Egress(),  # noqa: B008 - immutable
    ) -> None:
        if (uri is None) is (issuer is None):
            raise ValueError("either the URL of the keys or the issuer must be given")
        self.uri = uri
        self.identity = identity_of(uri=uri, issuer=issuer)
        self.place = place_of(uri) if uri is not None else str(issuer)
        self.max_bytes = max_bytes
        self.fetches = self.discoveries = 0
        self._issuer = issuer
        self._timeout = timeout
        self._allow_http = allow_http
        self._tls = tls
        self._egress = egress
        self._discovered_at = -math.inf
        self._said = ""  # of the last metadata that could not be had: told once
        self._tag: tuple[str, str] | None = None  # of the document in force: the URL it came from, and its entity tag

    async def ask(self, *, doubtful: bool = False) -> "Fetched":
        """
        Get the keys, or word that they are unchanged.

        Args:
            doubtful: The document we have may be out of date whatever its entity tag says: ask for it whole, past every cache.

        Raises:
            JWKSFetchError: There is no document.
            KeySourceError: The TLS files or the bearer token cannot be used.
        """
        if self._issuer is None:
            return await self._fetch(doubtful)
        try:
            async with asyncio.timeout(2 * self._timeout):
                return await self._fetch_discovered(doubtful)
        except TimeoutError:
            raise JWKSFetchError(f"{self.place} did not answer completely within {2 * self._timeout:g} s") from None

    def accepted(self, fetched: "Fetched") -> None:
        """The answer was good: the next question may be whether it still holds. Of one that was not good, nothing is remembered."""
        if fetched.etag is not None:
            assert self.uri is not None
            self._tag = (self.uri, fetched.etag)
        elif fetched.document is not None:
            self._tag = None

    def restored(self, etag: str | None) -> None:
        """The document in force is a stored one with this entity tag. Where an issuer's keys were at that time is not known."""
        if self.uri is not None and etag is not None:
            self._tag = (self.uri, etag)

    def refused(self) -> None:
        """The answer was not good, or there was none: perhaps the keys moved."""
        self._discovered_at = -math.inf

    @property
    def tag(self) -> str | None:
        """Entity tag of the document in force."""
        return self._tag[1] if self._tag is not None else None

    async def _fetch_discovered(self, doubtful: bool) -> "Fetched":
        """Ask for the keys where they were the last time; for the metadata only when that is a day ago, or did not work."""
        before = self.uri
        asked = before is None or time.monotonic() - self._discovered_at >= REDISCOVERY
        if asked:
            try:
                await self._discover()
            except JWKSFetchError as error:
                if before is None:
                    raise
                if str(error) != self._said:
                    self._said = str(error)
                    log.warning("%s is asked for its keys where they were before: %s", self.place, error)
        try:
            return await self._fetch(doubtful)
        except JWKSFetchError:
            if asked:
                raise
            with contextlib.suppress(JWKSFetchError):
                await self._discover()
            if self.uri == before:
                raise
        return await self._fetch(doubtful)

    async def _discover(self) -> None:
        from lbjwt.jwks.discovery import discover

        assert self._issuer is not None
        self.discoveries += 1
        self._discovered_at = time.monotonic()  # also when it fails: the place that is known will do for a day
        self.uri = await discover(
            self._issuer,
            timeout=self._timeout,
            max_bytes=self.max_bytes,
            allow_http=self._allow_http,
            ssl_context=self._tls.context() if self._tls is not None else None,
            egress=self._egress,
        )
        self._said = ""

    async def _fetch(self, doubtful: bool) -> "Fetched":
        from lbjwt.jwks.fetch import fetch  # aiohttp is imported only where something is fetched

        assert self.uri is not None
        self.fetches += 1
        ours = self._issuer is None or same_origin(self.uri, self._issuer)
        return await fetch(
            self.uri,
            timeout=self._timeout,
            max_bytes=self.max_bytes,
            allow_http=self._allow_http,
            ssl_context=self._tls.context() if self._tls is not None else None,
            egress=self._egress if ours else self._egress.without_token(),
            etag=None if doubtful or self._tag is None or self._tag[0] != self.uri else self._tag[1],
        )
