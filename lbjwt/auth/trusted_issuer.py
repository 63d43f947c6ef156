"""An issuer of a verifier: what is trusted of it, the same compiled, and the choice among several by the `iss` of a token."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lbjwt._fastverify import Verification
from lbjwt.auth._claims import PolicyRules
from lbjwt.auth.header import HeaderRules
from lbjwt.auth.identity import MAX_TOTAL, MAX_VALUE, IdentityHeader, compile_identity_headers
from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.auth.logged_claims import LoggedClaims, compile_logged_claims
from lbjwt.auth.policy import IssuerPolicy, are_disjoint
from lbjwt.errors import ConfigurationError
from lbjwt.jose.keyring import KeyRing

if TYPE_CHECKING:
    from lbjwt.auth.encrypted import Decryption, EncryptedTokens

# (index of the issuer, key id, claims, seconds since the epoch) -> whether such a token is revoked
Revoked = Callable[[int, str, Mapping[str, Any], float], bool]

# claims -> index of the issuer, where several have one name
Chooser = Callable[[Mapping[str, Any]], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedIssuer:
    """
    One issuer of a verifier.

    Attributes:
        policy: Its rules.
        decryption: How its encrypted tokens are decrypted; None to accept none.
        identity_headers: What of its claims endpoints receive; see `compile_identity_headers`.
        max_identity_header: Bytes of one value.
        max_identity_headers: Bytes of all lines together.
        logged_claims: What of its claims the access log has; None for nothing.
        key_source: Where its keys come from, in any form that can be compared; None for "where this `iss` has its keys". When
            `Verifier.reload` changes it, the keys from there are no longer trusted.
    """

    policy: IssuerPolicy
    decryption: "Decryption | None" = None
    identity_headers: tuple[IdentityHeader | tuple[str, str], ...] = ()
    max_identity_header: int = MAX_VALUE
    max_identity_headers: int = MAX_TOTAL
    logged_claims: LoggedClaims | None = None
    key_source: object = field(default=None, compare=False)  # keys that move to another place change no rule

    @property
    def keys_from(self) -> object:
        """The origin of its keys: keys of one origin are never keys of another."""
        return ("iss", self.policy.issuer) if self.key_source is None else ("source", self.key_source)


class CompiledIssuer:
    """
    An issuer with its compiled rules and the keys of the moment.

    Args:
        known: The one that had the index before: what is the same is taken from it. It is not changed.
    """

    def __init__(
        self, index: int, trusted: TrustedIssuer, revoked: Revoked | None, known: "CompiledIssuer | None" = None
    ) -> None:
        self.trusted = trusted
        self.keys: KeyRing | None = None
        self.verification: Verification
        self._index = index
        self._revoked = revoked
        self._number: int  # of the rules, 0 before their first verification
        self._rules: PolicyRules
        self._identity: Callable[[Mapping[str, Any]], bytes | None] | None
        self._logged: Callable[[Mapping[str, Any]], bytes | None] | None
        same_source = known is not None and known.trusted.keys_from == trusted.keys_from
        if known is not None and known.trusted == trusted:
            self._number, self._rules = known._number, known._rules
            self._identity, self._logged = known._identity, known._logged
            if same_source:
                self.keys, self.verification = known.keys, known.verification
                return
        else:
            self._number = 0
            self._rules = PolicyRules(trusted.policy)
            self._identity = compile_identity_headers(
                trusted.identity_headers, max_value=trusted.max_identity_header, max_total=trusted.max_identity_headers
            )
            self._logged = compile_logged_claims(trusted.logged_claims)
        self.use(known.keys if known is not None and same_source else None)

    def use(self, keys: KeyRing | None, previous: KeyRing | None = None) -> None:
        """
        Make the verification with these keys; the gate has to be told.

        Args:
            previous: Keys whose tokens live on where they are in the new ring, too.
        """
        policy = self.trusted.policy
        if keys is not None and previous is not None:
            keys = keys.adopt(previous)
        self.keys = keys
        self.verification = Verification(
            resolve=None if keys is None else HeaderRules(keys, policy),
            rules=self._rules,
            keys=keys or (),
            identity=self._identity,
            logged=self._logged,
            revoked=self._revoked,
            allow_padding=policy.allow_padding,
            max_header=policy.max_token_header or policy.max_token,
            only_encrypted=self.trusted.decryption is not None and self.trusted.decryption.required,
            index=self._index,
            policy=self._number,
        )
        self._number = self.verification.policy


def decrypting(issuers: Mapping[int, TrustedIssuer]) -> "EncryptedTokens | None":
    """What decrypts the tokens of these issuers; None if none of them has keys for it."""
    given = {index: issuer.decryption for index, issuer in issuers.items() if issuer.decryption is not None}
    if not given:
        return None
    from lbjwt.auth.encrypted import EncryptedTokens  # imports ciphers, which few processes need

    headers = (issuer.policy.max_token_header or issuer.policy.max_token for issuer in issuers.values())
    return EncryptedTokens(given, max(headers))


def selection(issuers: Mapping[int, TrustedIssuer]) -> Callable[[str], int | Chooser] | None:
    """
    The function that finds the index of the issuer of an `iss`: exact names first, patterns in their order. None when there is one issuer.

    Several issuers may have one name if their audiences are disjoint. Then the `aud` of the token chooses among them, as the `iss` does: it only says
    whose keys and rules apply, and both claims are checked after the signature.
    """
    if len(issuers) == 1:
        return None
    named: dict[str, list[int]] = {}
    patterns: list[tuple[IssuerPattern, int]] = []
    for index, issuer in issuers.items():
        name = issuer.policy.issuer
        if name is None:
            raise ConfigurationError(
                "any_issuer works with a single issuer only; name this issuer, or remove the others"
            )
        if isinstance(name, str):
            named.setdefault(name, []).append(index)
        else:
            patterns.append((name, index))
    exact: dict[str, int | Chooser] = {}
    for name, indexes in named.items():
        audiences = [issuers[index].policy.audiences for index in indexes]
        if len(indexes) > 1 and not are_disjoint(*audiences):
            raise ConfigurationError(f"two policies have the issuer {name}, and their audiences are not disjoint")
        choices = [(frozenset(one or ()), index) for one, index in zip(audiences, indexes, strict=True)]
        exact[name] = indexes[0] if len(indexes) == 1 else _by_audience(choices)

    def select(name: str) -> int | Chooser:
        found = exact.get(name, -1)
        if found == -1:
            for pattern, candidate in patterns:
                if pattern.tenant_of(name) is not None:
                    return candidate
        return found

    return select


def _by_audience(choices: list[tuple[frozenset[str], int]]) -> Chooser:
    """Choose the first issuer that has a member of `aud` among its audiences; the first of all, which then refuses the token, if none has."""

    def choose(claims: Mapping[str, Any]) -> int:
        audience = claims.get("aud")
        members = audience if isinstance(audience, list) else [audience]
        said = frozenset(member for member in members if isinstance(member, str))
        return next((index for audiences, index in choices if not said.isdisjoint(audiences)), choices[0][1])

    return choose
