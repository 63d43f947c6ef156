"""
`lbjwt.Verifier`: the verifier of `lbjwt.auth`, and the constructors whose keys come from an issuer or a configuration and stay current by themselves.

Everything beyond verification is imported when it is first used, so a program with keys of its own loads neither an event loop nor pydantic.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from lbjwt._fastverify import DenyReason
from lbjwt.auth import verifier
from lbjwt.auth._places import bearer_token
from lbjwt.auth.verdict import Accepted, Refused, Verdict

if TYPE_CHECKING:
    import os
    from concurrent.futures import Future
    from types import TracebackType

    from lbjwt.assembly.followed_file import FollowedFile
    from lbjwt.assembly.kept_keys import KeptKeys
    from lbjwt.config.model import Configuration
    from lbjwt.keys.feed import StoredKeySet

NEED_KEYS = frozenset({DenyReason.UNKNOWN_KEY, DenyReason.KEYS_UNAVAILABLE})
"""Reasons that a fetch of keys may cure."""


class Verifier(verifier.Verifier):
    """
    Verifies JSON Web Tokens of one issuer, or of several, and remembers the ones that passed. `verify`, `authorize`, `ready`
    and their asyncio counterparts may run in several threads at a time.

    `discover`, `from_jwks_uri` and `from_config` start a thread that keeps the keys current: it fetches them when they are due and when a token
    names an unknown one, by the rules and limits of the balancer. `close` ends it, and so does leaving a `with` or `async with` block. The other
    constructors have no thread, and `close` does nothing for them.

    Attributes:
        configuration: What the keys, rules and token locations come from; None for a verifier whose keys the program publishes.
        generation: Counts the configurations that have taken the place of another one, see `from_config`.
    """

    configuration: Configuration | None = None
    generation: int = 0
    _kept: KeptKeys | None = None
    _is_closed = False

    @classmethod
    def discover(
        cls,
        issuer: str,
        *,
        audiences: Iterable[str] = (),
        any_audience: bool = False,
        algorithms: Iterable[str] | None = None,
        fetch: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """
        A verifier that finds the keys of an issuer by its URL (OpenID Connect Discovery 1.0 section 4, RFC 8414 section 3). Returns before the first
        keys are there; see `ready`.

        Args:
            issuer: The `https` URL, exactly as in `iss`; `http` on loopback.
            audiences: Accepted members of `aud`; required unless any_audience is true.
            algorithms: Accepted JWS algorithms; None for those of the keys.
            fetch: Settings of `issuers.*.discovery` in the configuration, such as `timeout`, `ca_file` or `proxy`. Times are seconds or text with a
                unit.
            settings: Further settings of `issuers.*`, such as `clock_skew`, `required_scopes` or `from_cookies`.

        Raises:
            ConfigurationError: An invalid value.
        """
        source = {"discovery": dict(fetch or {})}
        return cls._of_issuer(issuer, audiences, any_audience, algorithms, source, settings)

    @classmethod
    def from_jwks_uri(
        cls,
        uri: str,
        *,
        issuer: str,
        audiences: Iterable[str] = (),
        any_audience: bool = False,
        algorithms: Iterable[str] | None = None,
        fetch: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        """
        A verifier that fetches a JWK Set by its URL, for issuers without discovery. Arguments and errors as for `discover`; `fetch` has settings of
        `issuers.*.remote_jwks`.
        """
        source = {"remote_jwks": {**(fetch or {}), "uri": uri}}
        return cls._of_issuer(issuer, audiences, any_audience, algorithms, source, settings)

    @classmethod
    def from_config(cls, source: str | os.PathLike[str] | Configuration, *, follow: bool = True) -> Self:
        """
        A verifier with the issuers, key sources, limits and revocations of a configuration, such as that of the balancer.

        Key files, revocations and the state directory are read, and never written, so a balancer may run with the same file. What is about
        connections (`listeners`, `clusters`, `fail_limit`, …) has no effect.

        A file that was changed counts within about two seconds, also for middleware that follows its routes: all of it or, if it has errors,
        nothing, and the logger `lbjwt.verifier` says why. Every token is then verified anew; fetched keys stay.

        Args:
            source: The path of the file, or the configuration, which stays as it is.
            follow: False: a changed file needs another verifier.

        Raises:
            ConfigurationError: The file cannot be read or has errors.
            KeySourceError: A key file or an environment variable cannot be used.
            RevocationError: The file or the log of revocations cannot be used.
        """
        from lbjwt.assembly.followed_file import FollowedFile
        from lbjwt.config.model import Configuration

        if isinstance(source, Configuration):
            return cls._keeping(source)
        file = FollowedFile(source)
        made = cls._keeping(file.read(), file if follow else None)
        file.replace = made._replace
        return made

    @classmethod
    def _of_issuer(
        cls,
        issuer: str,
        audiences: Iterable[str],
        any_audience: bool,
        algorithms: Iterable[str] | None,
        source: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> Self:
        from lbjwt.config.values import only_issuer

        values = {"issuer": issuer, "audiences": audiences, "any_audience": any_audience, **source, **settings}
        if algorithms is not None:
            values["algorithms"] = algorithms
        return cls._keeping(only_issuer(values))

    @classmethod
    def _keeping(
        cls, configuration: Configuration, file: FollowedFile | None = None, inherited: Sequence[StoredKeySet] = ()
    ) -> Self:
        from lbjwt.assembly.issuers import issuer_instances, trusted_issuers
        from lbjwt.assembly.kept_keys import KeptKeys

        instances = issuer_instances(configuration)
        kept = KeptKeys(configuration, instances, file=file)
        made = cls.for_issuers(
            trusted_issuers(configuration, instances),
            revoked=None if configuration.revocation is None else kept.revoked,
            cache_bytes=configuration.token_cache.max_bytes,
            cache_entries=configuration.token_cache.max_entries,
        )
        made.configuration = configuration
        made._kept = kept
        kept.start(made, inherited)
        return made

    def _replace(self, configuration: Configuration) -> None:
        """
        Put another configuration into force, from the next token on. The thread that keeps the keys of the old one calls this, and ends.

        Raises:
            LbjwtError: As for `from_config`; nothing has changed.
        """
        from lbjwt.assembly.keys import NEW_KEYS

        before = self._kept
        assert before is not None
        fresh = type(self)._keeping(configuration, before.file, before.key_sets())
        if not fresh._has_keys():
            fresh.ready(NEW_KEYS)
        # What is made of the new configuration is shared with `fresh`, to which its own thread publishes keys.
        self._revoked, self._issuers, self._gate = fresh._revoked, fresh._issuers, fresh._gate
        self.configuration, self._kept = configuration, fresh._kept
        self.generation += 1
        if self._is_closed:
            self.close()

    @property
    def max_wait(self) -> float:
        """Seconds that `verify` waits at most for a fetch of keys; 0 for a verifier whose keys the program publishes."""
        return 0.0 if self._kept is None else self._kept.longest_wait

    def ready(self, timeout: float | None = None) -> bool:
        """
        Wait while a fetch of keys is due or under way. Returns at once where none is, so a program that is frozen in between, such as an AWS Lambda
        function, can call it before each request.

        Args:
            timeout: Seconds; None for as long as the first attempts may take.

        Returns:
            Whether there are keys of every issuer.
        """
        if self._kept is None:
            return self._has_keys()
        fresh = self._kept.fresh()
        if isinstance(fresh, bool):
            return fresh
        with contextlib.suppress(TimeoutError):
            return fresh.result(self._kept.first_wait if timeout is None else timeout)
        return self._has_keys()

    async def aready(self, timeout: float | None = None) -> bool:
        """`ready` for asyncio."""
        import asyncio

        if self._kept is None:
            return self._has_keys()
        fresh = self._kept.fresh()
        if isinstance(fresh, bool):
            return fresh
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._kept.first_wait if timeout is None else timeout):
                return await asyncio.wrap_future(fresh)
        return self._has_keys()

    async def averify(self, token: bytes | str, now: float | None = None) -> Verdict:
        """`verify` for asyncio: a token with an unknown key waits for the fetch of the keys, and the event loop does not."""
        return await self._verified_again(self.verify(token, now), _bytes(token), now)

    async def aauthorize(self, header_value: bytes | None, now: float | None = None) -> Verdict:
        """`authorize` for asyncio; see `averify`."""
        verdict = self.authorize(header_value, now)
        return await self._verified_again(verdict, bearer_token(header_value or b"")[1], now)

    def request_keys(self, issuer: int) -> Future[None] | None:
        """
        Have the keys of an issuer fetched, because a token names one that is not there. Waits for nothing.

        Args:
            issuer: Its index, from 0 on in the order of the configuration.

        Returns:
            A future that is done when the attempt has ended, well or not. None if no attempt is worth waiting for: in the cooldown, for keys of
            files, and for a verifier whose keys the program publishes.
        """
        return None if self._kept is None else self._kept.request(issuer)

    def key_status(self) -> dict[str, dict[str, Any]]:
        """
        What is known of the fetched keys of each issuer, for a health check or a dashboard: `state` (`fresh`, `stale` or `none`), `last_success`,
        `last_failure`, `next_fetch` and more, as `source` of an issuer in the `/status` of the balancer. No key is in it. Empty if none are fetched.
        """
        return {} if self._kept is None else self._kept.describe()

    def close(self) -> None:
        """End the thread that keeps the keys, and withdraw them: tokens are refused with KEYS_UNAVAILABLE from now on. May be called again."""
        self._is_closed = True
        if self._kept is not None:
            self._kept.close()

    async def aclose(self) -> None:
        """`close` for asyncio."""
        import asyncio

        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        await self.aready()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _refused(self, token: bytes, reason: DenyReason, now: float | None) -> Verdict:
        """Wait for a fetch that may bring the key of the token, except in an event loop, which must not wait."""
        if reason in NEED_KEYS and self._kept is not None:
            coming = self._coming(token, now)
            if coming is not None and not _in_event_loop():
                with contextlib.suppress(TimeoutError):
                    coming.result(self.max_wait)
                grant, reason = self._gate.verify(token, time.time() if now is None else now)
                if grant is not None:
                    return Accepted(grant)
        return super()._refused(token, reason, now)

    async def _verified_again(self, verdict: Verdict, token: bytes, now: float | None) -> Verdict:
        import asyncio

        if isinstance(verdict, Refused) and verdict.reason in NEED_KEYS and self._kept is not None:
            coming = self._coming(token, now)
            if coming is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.max_wait):
                        await asyncio.wrap_future(coming)
                return self.verify(token, now)
        return verdict

    def _coming(self, token: bytes, now: float | None) -> Future[None] | None:
        """A fetch of the keys of the issuer that the token names."""
        for step, _, value in self._gate.trace(token, time.time() if now is None else now):
            if step == "issuer.name" and value >= 0:
                return self.request_keys(value)
        return None

    def _has_keys(self) -> bool:
        return all(issuer.keys is not None for issuer in self._issuers.values())


def _bytes(token: bytes | str) -> bytes:
    return token.encode("utf-8", "surrogatepass") if isinstance(token, str) else token


def _in_event_loop() -> bool:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
