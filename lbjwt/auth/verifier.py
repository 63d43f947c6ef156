"""
The public `Verifier`: keys and a policy in, a verdict per token out. Synchronous, without a loop, a socket or a file.

`_fastverify.Gate` does the work per token; this class assembles its parts and replaces the keys.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from lbjwt._fastverify import DenyReason, Gate
from lbjwt._grants import GrantCache
from lbjwt.auth._places import bearer_token
from lbjwt.auth.identity import IdentityHeader
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.policy import IssuerPolicy
from lbjwt.auth.trusted_issuer import CompiledIssuer, Revoked, TrustedIssuer, decrypting, selection
from lbjwt.auth.verdict import Accepted, Refused, Verdict
from lbjwt.errors import ConfigurationError
from lbjwt.jose.keyring import KeyRing

if TYPE_CHECKING:
    from lbjwt.auth.encrypted import Decryption


class Verifier:
    """Verifies JSON Web Tokens of one issuer, or of several with `for_issuers`, and remembers the ones that passed."""

    def __init__(
        self,
        keys: KeyRing | None,
        policy: IssuerPolicy,
        *,
        decryption: Decryption | None = None,
        identity_headers: Iterable[IdentityHeader | tuple[str, str]] = (),
        cache_bytes: int = 64 * 1024 * 1024,
        cache_entries: int = 1_000_000,
    ) -> None:
        """
        Args:
            keys: None until there are any; every token is refused with KEYS_UNAVAILABLE until `publish`.
            decryption: Keys that decrypt tokens (JWE); None to accept no encrypted token.
            identity_headers: For `Grant.identity_headers`; a pair is (claim, header name).
            cache_bytes: Memory for verified tokens; 0 remembers none.
            cache_entries: Greatest number of verified tokens; 0 remembers none.

        Raises:
            ConfigurationError: An invalid identity header; a cache limit below 0.
        """
        issuer = TrustedIssuer(policy=policy, decryption=decryption, identity_headers=tuple(identity_headers))
        self._set_up({0: issuer}, None, cache_bytes, cache_entries)
        self.publish(keys)

    @classmethod
    def for_issuers(
        cls,
        issuers: Sequence[TrustedIssuer] | Mapping[int, TrustedIssuer],
        *,
        revoked: Revoked | None = None,
        cache_bytes: int = 64 * 1024 * 1024,
        cache_entries: int = 1_000_000,
    ) -> Self:
        """
        A verifier of several issuers, without keys yet. A token's `iss` selects the one issuer whose keys and rules apply (THREATS B17).

        Args:
            issuers: Each under its index, or in the order of their indexes. Two must not share an `iss`; patterns are tried in this order.
            revoked: Called for every token that passed the other checks, and again for each cached one after `renew` and `reload`.

        Raises:
            ConfigurationError: No issuer, two with one name, any_issuer beside others, an invalid identity header.
        """
        made = cls.__new__(cls)
        made._set_up(issuers, revoked, cache_bytes, cache_entries)
        return made

    def _set_up(
        self,
        issuers: Sequence[TrustedIssuer] | Mapping[int, TrustedIssuer],
        revoked: Revoked | None,
        cache_bytes: int,
        cache_entries: int,
    ) -> None:
        if cache_bytes < 0 or cache_entries < 0:
            raise ConfigurationError("a cache limit must not be negative")
        self._revoked = revoked
        trusted = _by_index(issuers)
        self._issuers = {index: CompiledIssuer(index, one, revoked) for index, one in trusted.items()}
        self._gate = Gate(
            GrantCache(max_bytes=cache_bytes, max_entries=cache_entries),
            verifications=[issuer.verification for issuer in self._issuers.values()],
            select=selection(trusted),
            max_token=_max_token(trusted),
            decrypt=decrypting(trusted),
        )

    def reload(
        self,
        issuers: Sequence[TrustedIssuer] | Mapping[int, TrustedIssuer],
        *,
        keys: Mapping[int, KeyRing | None] | None = None,
    ) -> None:
        """
        Replace the issuers, all at once: the next token is judged by the new ones. `verify` may run in other threads meanwhile, `publish` and
        another `reload` must not.

        An issuer that is equal under its index keeps its compiled rules, its keys and its verified tokens, which are looked at once more before
        their next use. Tokens of a changed issuer are verified anew, those of a removed one are refused. A changed issuer keeps its keys, too,
        unless they come from another source (see `TrustedIssuer.key_source`): then it has none until `publish`, or those of `keys`.

        Args:
            issuers: As for `for_issuers`. Indexes may have gaps.
            keys: Published in the same moment, by index; None for no keys.

        Raises:
            ConfigurationError: As for `for_issuers`; nothing has changed.
            LookupError: Keys for an index without an issuer; nothing has changed.
        """
        trusted = _by_index(issuers)
        select, max_token = selection(trusted), _max_token(trusted)
        given = keys or {}
        if not given.keys() <= trusted.keys():
            raise LookupError(f"no issuer has the index {min(given.keys() - trusted.keys())}")
        made = {}
        for index, one in trusted.items():
            known = self._issuers.get(index)
            made[index] = issuer = CompiledIssuer(index, one, self._revoked, known)
            if index in given:
                issuer.use(given[index], previous=None if known is None else known.keys)
        verifications = [issuer.verification for issuer in made.values()]
        self._gate.reload(verifications, select=select, max_token=max_token, decrypt=decrypting(trusted))
        self._issuers = made

    def use_decryption(self, decryptions: Mapping[int, Decryption | None]) -> bool:
        """
        Replace the keys that decrypt the tokens of some issuers. Their tokens are verified anew, those of the others stay verified. Not while another
        thread calls `publish` or `reload`.

        Args:
            decryptions: By the index of the issuer; None to accept no encrypted token.

        Returns:
            Whether any of them differs from what was in force.

        Raises:
            LookupError: No issuer has one of these indexes; nothing has changed.
        """
        known = {index: self._issuers[index] for index in decryptions}
        made = {
            index: CompiledIssuer(index, replace(one.trusted, decryption=decryptions[index]), self._revoked, one)
            for index, one in known.items()
            if one.trusted.decryption != decryptions[index]
        }
        issuers = self._issuers | made
        trusted = {index: one.trusted for index, one in issuers.items()}
        if made:
            verifications = [one.verification for one in issuers.values()]
            self._gate.reload(
                verifications, select=selection(trusted), max_token=_max_token(trusted), decrypt=decrypting(trusted)
            )
            self._issuers.update(made)
        return bool(made)

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
        decryption: Decryption | None = None,
        identity_headers: Iterable[IdentityHeader | tuple[str, str]] = (),
        **policy: Any,
    ) -> Self:
        """
        A verifier with the keys of a JWK Set.

        Args:
            issuer: The exact `iss`, or a pattern with a tenant; required unless any_issuer is true.
            audiences: Accepted members of `aud`; required unless any_audience is true.
            algorithms: None for what the keys say.
            decryption: Keys that decrypt tokens (JWE); None to accept no encrypted token.
            policy: Further fields of IssuerPolicy.

        Raises:
            KeyFormatError: Not a JWK Set, or without a usable key.
            ConfigurationError: No issuer or audience, or another invalid value.
        """
        rules = _policy(issuer, audiences, any_issuer, any_audience, algorithms, policy)
        keys = KeyRing.from_jwks(document, algorithms=rules.algorithms, allow_padding=rules.allow_padding)
        return cls(keys, rules, decryption=decryption, identity_headers=identity_headers)

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
        decryption: Decryption | None = None,
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
        keys = KeyRing.from_pem(text, algorithms=rules.algorithms)
        return cls(keys, rules, decryption=decryption, identity_headers=identity_headers)

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
        decryption: Decryption | None = None,
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
        keys = KeyRing.from_secret(secret, algorithms=names)
        return cls(keys, rules, decryption=decryption, identity_headers=identity_headers)

    @property
    def keys(self) -> KeyRing | None:
        """The keys in force of the first issuer; None when there are none."""
        return self._first.keys

    @property
    def policy(self) -> IssuerPolicy:
        """The rules of the first issuer."""
        return self._first.trusted.policy

    @property
    def _first(self) -> CompiledIssuer:
        issuers = self._issuers
        return issuers[min(issuers)]

    def keys_of(self, issuer: int) -> KeyRing | None:
        """The keys in force of one issuer, by its index; None when there are none, or no such issuer."""
        known = self._issuers.get(issuer)
        return None if known is None else known.keys

    def policy_of(self, issuer: int) -> IssuerPolicy:
        """The rules of one issuer, by its index; LookupError when there is none."""
        return self._issuers[issuer].trusted.policy

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
        return self._refused(token, DenyReason.MALFORMED if reason is DenyReason.MALFORMED_CREDENTIALS else reason, now)

    def authorize(self, header_value: bytes | None, now: float | None = None) -> Verdict:
        """
        Verify a whole Authorization field value, such as `Bearer eyJ…`; None when there is no such field.

        The caller must refuse a request with several Authorization fields (MULTIPLE_TOKENS), not join them.
        """
        reason, token = bearer_token(header_value or b"")
        if reason is not DenyReason.NONE:
            return Refused(reason)
        grant, reason = self._gate.verify(token, time.time() if now is None else now)
        return self._refused(token, reason, now) if grant is None else Accepted(grant)

    def _refused(self, token: bytes, reason: DenyReason, now: float | None) -> Verdict:
        """The verdict on a token that did not pass. A verifier that can fetch keys looks for them first."""
        return Refused(reason)

    def publish(self, keys: KeyRing | None, issuer: int = 0) -> None:
        """
        Replace the keys of one issuer. Cached tokens of a key that stays (same material, id and algorithms) stay valid; all others end at once.

        Args:
            keys: None when no key may be used any more.
            issuer: Its index.

        Raises:
            LookupError: No issuer has this index.
        """
        known = self._issuers[issuer]
        known.use(keys, previous=known.keys)
        self._gate.replace(known.verification)

    def renew(self) -> None:
        """Check every cached token again before its next use, because revocations have changed."""
        self._gate.renew()


def _by_index(issuers: Sequence[TrustedIssuer] | Mapping[int, TrustedIssuer]) -> dict[int, TrustedIssuer]:
    found = dict(issuers) if isinstance(issuers, Mapping) else dict(enumerate(issuers))
    if not found:
        raise ConfigurationError("a verifier needs an issuer")
    if min(found) < 0:
        raise ConfigurationError("the index of an issuer is below 0")
    return found


def _max_token(issuers: Mapping[int, TrustedIssuer]) -> int:
    """Bytes of a token of any issuer: which one it is of is known later."""
    return max(issuer.policy.max_token for issuer in issuers.values())


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
