"""One source of several URLs: the keys of an issuer that publishes more than one JWK Set. See `keys.parts`."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from lbjwt.errors import LbjwtError
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.errors import JWKSFetchError, sentence_of
from lbjwt.keys.fetcher import Fetched
from lbjwt.keys.parts import KeptParts, decoded
from lbjwt.keys.remote import KeyOrigin

log = logging.getLogger("lbjwt.jwks")

SOON: Final = 0.0
"""Freshness of a response when a part failed: the next attempt comes as soon as `min_refresh` allows."""


class SeveralOrigins:
    """
    An `Origin` (`keys.remote`) of several URLs. An attempt succeeds if one URL answers with usable keys; of the others the last good document
    counts, for `max_stale` seconds.

    Attributes:
        failures: What was wrong with some URLs at the last attempt.

    Args:
        origins: One for each URL.
        build: Makes a key ring of the document of one URL; a document of which it makes none counts as a failure of that URL.
        max_stale: Seconds.
    """

    def __init__(self, origins: Sequence[KeyOrigin], build: Callable[[bytes], KeyRing], max_stale: float) -> None:
        self._origins = {origin.identity: origin for origin in origins}
        self._build = build
        self._parts = KeptParts(max_stale)
        self._last_warning = ""
        self.identity = " ".join(self._origins)
        self.place = " and ".join(origin.place for origin in origins)
        self.uri: str | None = None  # there is none for all
        self.failures: tuple[str, ...] = ()
        self.egress = origins[0].egress
        self.tag: str | None = None

    @property
    def fetches(self) -> int:
        """Documents that were asked for."""
        return sum(origin.fetches for origin in self._origins.values())

    @property
    def discoveries(self) -> int:
        """None: the URLs are configured."""
        return 0

    async def ask(self, *, doubtful: bool = False) -> Fetched:
        """As `KeyOrigin.ask`; JWKSFetchError when no URL gives usable keys now."""
        asked = self._origins.items()
        # A URL whose document was dropped must send it anew: an answer that it is unchanged would be of no use.
        questions = (origin.ask(doubtful=doubtful or name not in self._parts) for name, origin in asked)
        answers = await asyncio.gather(*questions, return_exceptions=True)
        now, failures, fresh = time.time(), [], list[Fetched]()
        for (name, origin), answer in zip(asked, answers, strict=True):
            try:
                if isinstance(answer, BaseException):
                    raise answer
                self._take(name, answer, now)
            except (LbjwtError, OSError, ValueError) as error:
                said = sentence_of(error)
                failures.append(said if origin.place in said else f"{origin.place}: {said}")
                origin.refused()
                self._parts.failed(name, now)
            else:
                origin.accepted(answer)
                fresh.append(answer)
        self.failures = tuple(failures)
        if not fresh:
            raise JWKSFetchError("; ".join(failures))
        self._warn("; ".join(failures))
        ages = [answer.max_age for answer in fresh if answer.max_age is not None]
        max_age = SOON if failures else min(ages, default=None)
        return Fetched(self._parts.document, max_age=max_age, date=fresh[0].date)

    def _take(self, name: str, answer: Fetched, now: float) -> None:
        """Take what one URL answered. Raises what `build` raises."""
        text = self._parts.text(name) if answer.document is None else answer.document.decode()
        self._build(text.encode())
        self._parts.fetched(name, text, now)

    def _warn(self, failures: str) -> None:
        if failures and failures != self._last_warning:
            log.warning("some keys could not be fetched, those of the last fetch stay: %s", failures)
        self._last_warning = failures

    def accepted(self, fetched: Fetched) -> None:
        """`ask` has told the origins."""

    def refused(self) -> None:
        """`ask` has told the origins."""

    def restored(self, etag: str | None, document: bytes, fetched_at: float) -> None:
        """The document in force is a stored one."""
        parts = {name: part for name, part in decoded(document).items() if name in self._origins}
        self._parts.restore(parts, fetched_at)
