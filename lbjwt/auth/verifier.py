"""
The public `Verifier`: keys and a policy in, a verdict per token out. Synchronous, without a loop, a socket or a file.

The per-token work is done by `_fastverify.Gate`; this class puts its parts together and replaces the keys. It reads the wall clock only
when no time is given, since token times are wall-clock times.
"""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from lbjwt._fastverify import DenyReason, Gate, Grant, GrantCache, Verification
from lbjwt.auth._claims import PolicyRules
from lbjwt.auth.header import compile_header_rules
from lbjwt.auth.identity import IdentityHeader, compile_identity_headers
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.errors import ConfigurationError, TokenRefused
from lbjwt.jose.keyring import KeyRing

__all__ = ["Verdict", "Verifier"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    What a verifier says of one token. True in a condition exactly when the token is accepted.

    Attributes:
        reason: NONE when accepted.
        grant: The verified token; None when refused.
    """

    reason: DenyReason
    grant: Grant | None = None

    @property
    def allowed(self) -> bool:
        """True when the token was accepted."""
        return self.grant is not None

    @property
    def claims(self) -> Mapping[str, Any] | None:
        """The claims of an accepted token, read anew at each access: changing a nested value changes nothing else."""
        return None if self.grant is None else self.grant.claims

    def __bool__(self) -> bool:
        return self.allowed

    def raise_if_refused(self) -> Self:
        """
        This verdict, for those who prefer exceptions.

        Raises:
            TokenRefused: The token was not accepted.
        """
        if self.grant is None:
            raise TokenRefused(self.reason)
        return self


class Verifier:
    """Verifies JSON Web Tokens of one issuer and remembers the ones that passed."""

    def __init__(
        self,
        keys: KeyRing | None,
        policy: IssuerPolicy,
        *,
        identity_headers: Iterable[IdentityHeader | tuple[str, str]] = (),
        cache_bytes: int = 64 * 1024 * 1024,
        cache_entries: int = 1_000_000,
    ) -> None:
        """
        Args:
            keys: None until there are any; every token is refused with KEYS_UNAVAILABLE until `publish`.
            identity_headers: For `Grant.identity_headers`; a pair is (claim, header name).
            cache_bytes: Memory for verified tokens; 0 remembers none.
            cache_entries: Greatest number of verified tokens; 0 remembers none.

        Raises:
            ConfigurationError: An identity header that cannot be; a cache limit below 0.
        """
        if cache_bytes < 0 or cache_entries < 0:
            raise ConfigurationError("a cache limit is below 0")
        self._keys = keys
        self._policy = policy
        self._rules = PolicyRules(policy)
        self._identity = compile_identity_headers(identity_headers)
        self._gate = Gate(
            cache=GrantCache(max_bytes=cache_bytes, max_entries=cache_entries),
            verification=self._verification(keys),
            max_token=policy.max_token,
            allow_padding=policy.allow_padding,
        )

    @classmethod
    def from_jwks(
        cls,
        document: bytes | str | Mapping[str, Any],
        *,
        issuer: str | IssuerPattern | None = None,
        audiences: Iterable[str] | None = None,
        any_issuer: bool = False,
        any_audience: bool = False,
        algorithms: Iterable[str] | None = None,
        identity_headers: Iterable[IdentityHeader | tuple[str, str]] = (),
        **policy: Any,
    ) -> Self:
        """
        A verifier with the keys of a JWK Set.

        Args:
            issuer: The exact `iss`, or a pattern with a tenant in it; needed unless any_issuer is said out loud.
            audiences: Accepted members of `aud`; needed unless any_audience is said out loud.
            algorithms: None for what the keys say.
            policy: Further fields of IssuerPolicy.

        Raises:
            KeyFormatError: Not a JWK Set, or without a usable key.
            ConfigurationError: No issuer or audience, or another value that cannot be.
        """
        rules = _policy(issuer, audiences, any_issuer, any_audience, algorithms, policy)
        return cls(KeyRing.from_jwks(document, algorithms=rules.algorithms), rules, identity_headers=identity_headers)

    @classmethod
    def from_pem(
        cls,
        text: bytes | str,
        *,
        issuer: str | IssuerPattern | None = None,
        audiences: Iterable[str] | None = None,
        any_issuer: bool = False,
        any_audience: bool = False,
        algorithms: Iterable[str] | None = None,
        identity_headers: Iterable[IdentityHeader | tuple[str, str]] = (),
        **policy: Any,
    ) -> Self:
        """
        A verifier with one PEM public key or certificate. Arguments as for `from_jwks`.

        Raises:
            KeyFormatError: Not a usable public key or certificate.
            ConfigurationError: No issuer or audience, or another value that cannot be.
        """
        rules = _policy(issuer, audiences, any_issuer, any_audience, algorithms, policy)
        return cls(KeyRing.from_pem(text, algorithms=rules.algorithms), rules, identity_headers=identity_headers)

    @classmethod
    def from_secret(
        cls,
        secret: bytes,
        *,
        algorithms: Iterable[str],
        issuer: str | IssuerPattern | None = None,
        audiences: Iterable[str] | None = None,
        any_issuer: bool = False,
        any_audience: bool = False,
        identity_headers: Iterable[IdentityHeader | tuple[str, str]] = (),
        **policy: Any,
    ) -> Self:
        """
        A verifier with one HMAC secret. Arguments as for `from_jwks`; the algorithms must be named.

        Raises:
            KeyFormatError: Too short for an algorithm, or a public key's text.
            ConfigurationError: No issuer or audience, or another value that cannot be.
        """
        names = tuple(algorithms)
        rules = _policy(issuer, audiences, any_issuer, any_audience, names, policy)
        return cls(KeyRing.from_secret(secret, algorithms=names), rules, identity_headers=identity_headers)

    @property
    def keys(self) -> KeyRing | None:
        """The keys in force; None when there are none."""
        return self._keys

    @property
    def policy(self) -> IssuerPolicy:
        """The rules in force, for life: another policy is another verifier."""
        return self._policy

    @property
    def gate(self) -> Gate:
        """The compiled gate, for callers in Cython; also cache and counters."""
        return self._gate

    def verify(self, token: bytes | str, now: float | None = None) -> Verdict:
        """
        Judge one token. Never raises for a bad one.

        Args:
            token: The compact JWS.
            now: Seconds since the epoch; None for the clock.
        """
        if isinstance(token, str):
            token = token.encode("utf-8", "surrogatepass")  # what is not ASCII is refused as malformed
        grant, reason = self._gate.verify(token, time.time() if now is None else now)
        return Verdict(reason, grant)

    def authorize(self, header_value: bytes | None, now: float | None = None) -> Verdict:
        """
        Judge a whole Authorization field value, such as `Bearer eyJ…`; None when there is no such field.

        Several Authorization fields are the caller's to refuse (MULTIPLE_TOKENS): they must not be joined.
        """
        grant, reason = self._gate.authorize(header_value, time.time() if now is None else now)
        return Verdict(reason, grant)

    def publish(self, keys: KeyRing | None) -> None:
        """
        Replace the keys. Grants of a key that is still there (same material, id and algorithms) live on; all others die at once.

        Args:
            keys: None when no key may be used any more.
        """
        previous = self._keys
        if keys is not None and previous is not None:
            keys = keys.adopt(previous)
        self._keys = keys
        self._gate.replace(self._verification(keys))  # first, so that nothing new is granted by a key about to go
        for key in previous or ():
            if keys is None or key not in keys:
                self._gate.cache.discard_key(key)

    def _verification(self, keys: KeyRing | None) -> Verification:
        return Verification(
            resolve=None if keys is None else compile_header_rules(keys, self._policy),
            rules=self._rules,
            identity=self._identity,
            allow_padding=self._policy.allow_padding,
        )


def _policy(
    issuer: str | IssuerPattern | None,
    audiences: Iterable[str] | None,
    any_issuer: bool,
    any_audience: bool,
    algorithms: Iterable[str] | None,
    rest: Mapping[str, Any],
) -> IssuerPolicy:
    """The policy behind the friendly constructors: leaving out a check must be said, not forgotten."""
    if (issuer is None) is not any_issuer:
        raise ConfigurationError("name the issuer, or say any_issuer=True (and not both)")
    if (audiences is None) is not any_audience:
        raise ConfigurationError("name the audiences, or say any_audience=True (and not both)")
    if isinstance(audiences, str):
        raise ConfigurationError("audiences is a list of strings, not one string")
    return IssuerPolicy(
        issuer=issuer,
        audiences=None if audiences is None else tuple(audiences),
        algorithms=None if algorithms is None else tuple(algorithms),
        **rest,
    )
