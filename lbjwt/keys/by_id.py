"""
Keys that have a URL each: `https://keys.example/{kid}`, as AWS load balancers publish theirs. Only keys that a token named are fetched.

The key id in a URL comes from a token that nobody has verified. So it must be a word of letters, digits, `-` and `_`, it stands where the configured
URL says, one attempt asks for a few new ones only, and attempts keep the cooldown of the source. A key id that the server does not know costs one
fetch and leaves nothing behind. See `keys.parts`.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from lbjwt.errors import LbjwtError
from lbjwt.jose.keyring import KeyRing
from lbjwt.keys.egress import Egress
from lbjwt.keys.errors import JWKSFetchError, KeyMissing, sentence_of
from lbjwt.keys.fetcher import Fetched, fetch
from lbjwt.keys.parts import KeptParts, decoded
from lbjwt.keys.ring_by_id import may_stand_in_url
from lbjwt.keys.uri import identity_of, place_of

KID: Final = "{kid}"
NEW_AT_ONCE: Final = 8
"""New key ids that one attempt asks for; others have to wait for the next one."""
PARALLEL_FETCHES: Final = 4
"""Fetches of one attempt that are under way at the same time."""
KEY_TYPES: Final = "application/x-pem-file, application/jwk+json, application/json, text/plain, */*"


class OriginById:
    """
    An `Origin` (`keys.remote`) of keys that have a URL each.

    Args:
        uri: With `{kid}` in it.
        requested: The key ids that tokens named and no process knows, each told once.
        check: Makes a ring of one key; what it refuses counts as a key that is not there.
        interval: Seconds after which known keys are fetched again.
        max_keys: Most keys that are kept; the oldest make room for new ones.
        max_stale: Seconds for which a key counts that cannot be fetched any more.
    """

    def __init__(
        self,
        egress: Egress,
        uri: str,
        *,
        requested: Callable[[], Iterable[str]],
        check: Callable[[str, str], KeyRing],
        interval: float,
        max_keys: int,
        max_stale: float,
    ) -> None:
        self.uri = uri
        self.identity = identity_of(uri=uri)
        self.place = place_of(uri)
        self.egress = egress
        self.fetches = self.discoveries = 0
        self.tag: str | None = None
        self._requested = requested
        self._check = check
        self._interval = interval
        self._max_keys = max_keys
        self._parts = KeptParts(max_stale)
        self._refreshed_at = -math.inf  # monotonic time

    async def ask(self, *, doubtful: bool = False) -> Fetched:
        """
        Fetch the keys that tokens name, and the known ones when it is time.

        Args:
            doubtful: Some token has a key id that is not known.

        Raises:
            JWKSFetchError: The server did not answer for any key.
        """
        now = time.monotonic()
        names = list[str]()
        if not doubtful or now - self._refreshed_at >= self._interval:
            names += self._parts
            self._refreshed_at = now
        asked = dict.fromkeys(kid for kid in self._requested() if may_stand_in_url(kid) and kid not in self._parts)
        names += list(asked)[:NEW_AT_ONCE]
        limit = 2 * self.egress.timeout
        try:
            async with asyncio.timeout(limit):
                found = await self._fetch_all(names)
        except TimeoutError:
            raise JWKSFetchError(f"{self.place} did not answer completely within {limit:g} s") from None
        return self._taken(found, answers_request=doubtful or bool(asked))

    async def _fetch_all(self, names: Iterable[str]) -> dict[str, Fetched | Exception]:
        gate = asyncio.Semaphore(PARALLEL_FETCHES)

        async def one(kid: str) -> Fetched | Exception:
            async with gate:
                self.fetches += 1
                try:
                    answer = await fetch(self.uri.replace(KID, kid), self.egress, accept=KEY_TYPES)
                    self._check(kid, (answer.document or b"").decode())
                    return answer
                except (LbjwtError, OSError, ValueError) as error:
                    return error

        listed = list(names)
        return dict(zip(listed, await asyncio.gather(*map(one, listed)), strict=True))

    def _taken(self, found: Mapping[str, Fetched | Exception], *, answers_request: bool) -> Fetched:
        wall, failures, ages = time.time(), list[str](), list[float]()
        answered = not found
        for kid, answer in found.items():
            if isinstance(answer, Fetched):
                answered = True
                self._parts.fetched(kid, (answer.document or b"").decode(), wall)
                ages += [] if answer.max_age is None else [answer.max_age]
            elif isinstance(answer, KeyMissing) and (kid not in self._parts or answer.gone):
                answered = True
                self._parts.drop(kid)
            else:
                failures.append(sentence_of(answer))
                self._parts.failed(kid, wall)
        if not answered:
            raise JWKSFetchError("; ".join(dict.fromkeys(failures)))
        while len(self._parts) > self._max_keys or len(self._parts.document) > self.egress.max_bytes:
            self._parts.drop_oldest()
        max_age = 0.0 if failures else min(ages, default=None)
        return Fetched(self._parts.document, max_age=max_age, answers_request=answers_request)

    def accepted(self, fetched: Fetched) -> None:
        """There is no entity tag to remember."""

    def refused(self) -> None:
        """There is no other place to ask."""

    def restored(self, etag: str | None, document: bytes, fetched_at: float) -> None:
        """The document in force is a stored one."""
        self._parts.restore(decoded(document), fetched_at)
