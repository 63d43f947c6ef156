"""
The public `Verifier`: keys and a policy in, a verdict per token out. Synchronous, without a loop, a socket or a file.

`_fastverify.Gate` does the work per token; this class assembles its parts and replaces the keys.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from lbjwt._fastverify import DenyReason, Gate, Verification
from lbjwt._grants import GrantCache
from lbjwt.auth._claims import PolicyRules
from lbjwt.auth._places import bearer_token
from lbjwt.auth.header import HeaderRules
from lbjwt.auth.identity import MAX_TOTAL, MAX_VALUE, IdentityHeader, compile_identity_headers
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.verdict import Accepted, Refused, Verdict
from lbjwt.errors import ConfigurationError
from lbjwt.jose.keyring import KeyRing

# (issuer index, key id, claims, seconds since the epoch) -> whether such a token is revoked
Revoked = Callable[[int, str, Mapping[str, Any], float], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """
    One issuer of a verifier.

    Attributes:
        policy: Its rules.
        identity_headers: What of its claims endpoints receive; see `compile_identity_headers`.
        max_identity_header: Bytes of one value.
        max_identity_headers: Bytes of all lines together.
    """

    policy: IssuerPolicy
    identity_headers: tuple[IdentityHeader | tuple[str, str], ...] = ()
    max_identity_header: int = MAX_VALUE
    max_identity_headers: int = MAX_TOTAL


class Verifier:
    """Verifies JSON Web Tokens of one issuer, or of several with `for_issuers`, and remembers the ones that passed."""

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
            ConfigurationError: An invalid identity header; a cache limit below 0.
        """
        issuer = TrustedIssuer(policy=policy, identity_headers=tuple(identity_headers))
        self._set_up([issuer], None, cache_bytes, cache_entries)
        self.publish(keys)

    @classmethod
    def for_issuers(
        cls,
        issuers: Sequence[TrustedIssuer],
        *,
        revoked: Revoked | None = None,
        cache_bytes: int = 64 * 1024 * 1024,
        cache_entries: int = 1_000_000,
    ) -> Self:
        """
        A verifier of several issuers, without keys yet. A token's `iss` selects the one issuer whose keys and rules apply (THREATS B17).

        Args:
            issuers: Their order gives the issuer indexes. Two must not share an `iss`.
            revoked: Called for every token that passed the other checks, and after `renew` again for each cached one.

        Raises:
            ConfigurationError: No issuer, two with one name, any_issuer beside others, an invalid identity header.
        """
        made = cls.__new__(cls)
        made._set_up(issuers, revoked, cache_bytes, cache_entries)
        return made

    def _set_up(
        self, issuers: Sequence[TrustedIssuer], revoked: Revoked | None, cache_bytes: int, cache_entries: int
    ) -> None:
        if cache_bytes < 0 or cache_entries < 0:
            raise ConfigurationError("a cache limit must not be negative")
        if not issuers:
            raise ConfigurationError("a verifier needs an issuer")
        self._policies = [issuer.policy for issuer in issuers]
        self._keys: list[KeyRing | None] = [None] * len(issuers)
        self._with_keys = [_with_keys(index, issuer, revoked) for index, issuer in enumerate(issuers)]
        self._gate = Gate(
            cache=GrantCache(max_bytes=cache_bytes, max_entries=cache_entries),
            verifications=[with_keys(None) for with_keys in self._with_keys],
            select=None if len(issuers) == 1 else _selection(self._policies),
            max_token=max(policy.max_token for policy in self._policies),
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
            issuer: The exact `iss`, or a pattern with a tenant; required unless any_issuer is true.
            audiences: Accepted members of `aud`; required unless any_audience is true.
            algorithms: None for what the keys say.
            policy: Further fields of IssuerPolicy.

        Raises:
            KeyFormatError: Not a JWK Set, or without a usable key.
            ConfigurationError: No issuer or audience, or another invalid value.
        """
        rules = _policy(issuer, audiences, any_issuer, any_audience, algorithms, policy)
        keys = KeyRing.from_jwks(document, algorithms=rules.algorithms, allow_padding=rules.allow_padding)
        return cls(keys, rules, identity_headers=identity_headers)

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
        A verifier with the public keys and certificates of a PEM text. Arguments as for `from_jwks`.

        Raises:
            KeyFormatError: Not usable public keys or certificates.
            ConfigurationError: No issuer or audience, or another invalid value.
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
            ConfigurationError: No issuer or audience, or another invalid value.
        """
        names = tuple(algorithms)
        rules = _policy(issuer, audiences, any_issuer, any_audience, names, policy)
        return cls(KeyRing.from_secret(secret, algorithms=names), rules, identity_headers=identity_headers)

    @property
    def keys(self) -> KeyRing | None:
        """The keys in force of the first issuer; None when there are none."""
        return self._keys[0]

    @property
    def policy(self) -> IssuerPolicy:
        """The rules of the first issuer, for life: another policy is another verifier."""
        return self._policies[0]

    def keys_of(self, issuer: int) -> KeyRing | None:
        """The keys in force of one issuer, by its index; None when there are none."""
        return self._keys[issuer]

    def policy_of(self, issuer: int) -> IssuerPolicy:
        """The rules of one issuer, by its index."""
        return self._policies[issuer]

    @property
    def gate(self) -> Gate:
        """The compiled gate, with cache and counters."""
        return self._gate

    def verify(self, token: bytes | str, now: float | None = None) -> Verdict:
        """
        Verify one token. Never raises for an invalid one.

        Args:
            token: The compact JWS.
            now: Seconds since the epoch; None for the clock.
        """
        if isinstance(token, str):
            token = token.encode("utf-8", "surrogatepass")  # what is not ASCII is refused as malformed
        grant, reason = self._gate.verify(token, time.time() if now is None else now)
        if grant is not None:
            return Accepted(grant)
        return Refused(DenyReason.MALFORMED if reason is DenyReason.MALFORMED_CREDENTIALS else reason)

    def authorize(self, header_value: bytes | None, now: float | None = None) -> Verdict:
        """
        Verify a whole Authorization field value, such as `Bearer eyJ…`; None when there is no such field.

        The caller must refuse a request with several Authorization fields (MULTIPLE_TOKENS), not join them.
        """
        reason, token = bearer_token(header_value or b"")
        if reason is not DenyReason.NONE:
            return Refused(reason)
        grant, reason = self._gate.verify(token, time.time() if now is None else now)
        return Refused(reason) if grant is None else Accepted(grant)

    def publish(self, keys: KeyRing | None, issuer: int = 0) -> None:
        """
        Replace the keys of one issuer. Cached tokens of a key that stays (same material, id and algorithms) stay valid; all others end at once.

        Args:
            keys: None when no key may be used any more.
            issuer: Its index.
        """
        previous = self._keys[issuer]
        if keys is not None and previous is not None:
            keys = keys.adopt(previous)
        self._keys[issuer] = keys
        self._gate.replace(self._with_keys[issuer](keys))

    def renew(self) -> None:
        """Check every cached token again before its next use, because revocations have changed."""
        self._gate.renew()


def _with_keys(index: int, trusted: TrustedIssuer, revoked: Revoked | None) -> Callable[[KeyRing | None], Verification]:
    """The function that combines an issuer's compiled rules with its current keys."""
    policy = trusted.policy
    rules = PolicyRules(policy)
    identity = compile_identity_headers(
        trusted.identity_headers, max_value=trusted.max_identity_header, max_total=trusted.max_identity_headers
    )

    def verification(keys: KeyRing | None) -> Verification:
        return Verification(
            resolve=None if keys is None else HeaderRules(keys, policy),
            rules=rules,
            keys=keys or (),
            identity=identity,
            revoked=revoked,
            allow_padding=policy.allow_padding,
            max_header=policy.max_token_header or policy.max_token,
            index=index,
        )

    return verification


def _selection(policies: Sequence[IssuerPolicy]) -> Callable[[str], int]:
    """The function that finds the issuer index of an `iss`, or -1: exact names first, then patterns in their order."""
    exact: dict[str, int] = {}
    patterns: list[tuple[IssuerPattern, int]] = []
    for index, policy in enumerate(policies):
        if policy.issuer is None:
            raise ConfigurationError(
                "any_issuer works with a single issuer only; name this issuer, or remove the others"
            )
        if isinstance(policy.issuer, str):
            if policy.issuer in exact:
                raise ConfigurationError(f"two policies have the issuer {policy.issuer}")
            exact[policy.issuer] = index
        else:
            patterns.append((policy.issuer, index))

    def select(name: str) -> int:
        index = exact.get(name, -1)
        if index < 0:
            for pattern, candidate in patterns:
                if pattern.tenant_of(name) is not None:
                    return candidate
        return index

    return select


def _policy(
    issuer: str | IssuerPattern | None,
    audiences: Iterable[str] | None,
    any_issuer: bool,
    any_audience: bool,
    algorithms: Iterable[str] | None,
    rest: Mapping[str, Any],
) -> IssuerPolicy:
    """The policy of the constructors, which require either a check or the explicit choice to have none."""
    if (issuer is None) is not any_issuer:
        raise ConfigurationError("give either issuer or any_issuer=True")
    if (audiences is None) is not any_audience:
        raise ConfigurationError("give either audiences or any_audience=True")
    if isinstance(audiences, str):
        raise ConfigurationError("audiences must be a list of strings, not one string")
    return IssuerPolicy(
        issuer=issuer,
        audiences=None if audiences is None else tuple(audiences),
        algorithms=None if algorithms is None else tuple(algorithms),
        **rest,
    )
