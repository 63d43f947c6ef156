"""The gate, at the speed of requests: what Python sees of it. The classes are described in the .pxd."""

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import IntEnum
from typing import Any, final

from typing_extensions import disjoint_base

from lbjwt._grants import Grant, GrantCache

class DenyReason(IntEnum):
    """Why a token was refused: one closed list for log, counter and answer. The numbers never change."""

    NONE = 0
    MISSING = 1
    MULTIPLE_TOKENS = 2
    MALFORMED_CREDENTIALS = 3
    MALFORMED = 4
    ALGORITHM_REFUSED = 5
    UNKNOWN_KEY = 6
    BAD_SIGNATURE = 7
    EXPIRED = 8
    NOT_YET_VALID = 9
    ISSUED_IN_FUTURE = 10
    WRONG_ISSUER = 11
    WRONG_AUDIENCE = 12
    MISSING_CLAIM = 13
    INVALID_CLAIM = 14
    LIFETIME_TOO_LONG = 15
    INSUFFICIENT_SCOPE = 16
    KEYS_UNAVAILABLE = 17
    UNREPRESENTABLE_CLAIM = 18
    INTERNAL = 19
    REVOKED = 20
    CLAIM_REFUSED = 21
    SUBJECT_REFUSED = 22
    CLIENT_REFUSED = 23
    TOO_OLD = 24
    WRONG_TYPE = 25
    RATE_LIMITED = 26
    NO_CLUSTER = 27
    HEADER_REFUSED = 28
    DECRYPTION_FAILED = 29
    ENCRYPTION_REFUSED = 30
    NOT_ENCRYPTED = 31

@final
class SignatureCheck:
    key: Any
    key_id: str
    algorithm: str
    signature_size: int
    def __init__(
        self,
        key: object,
        *,
        key_id: str,
        algorithm: str,
        signature_size: int,
        verify: Callable[..., None],
        arguments: tuple[object, ...] = (),
        raw_ecdsa: bool = False,
    ) -> None:
        """
        Args:
            verify: Called with signature, signed bytes and arguments; raises cryptography's InvalidSignature, or returns.
            raw_ecdsa: Signatures come as r || s and are turned into DER first.
        """

    def verify(self, signature: bytes, signed: bytes) -> bool: ...

@disjoint_base
class ClaimRules: ...

@final
class Verification:
    def __init__(
        self,
        resolve: Callable[[dict[str, Any]], SignatureCheck | tuple[SignatureCheck, ...] | DenyReason] | None,
        *,
        rules: ClaimRules,
        keys: Iterable[object] = (),
        identity: Callable[[Mapping[str, Any]], bytes | None] | None = None,
        logged: Callable[[Mapping[str, Any]], bytes | None] | None = None,
        revoked: Callable[[int, str, Mapping[str, Any], float], bool] | None = None,
        allow_padding: bool = False,
        max_header: int = 8192,
        only_encrypted: bool = False,
        index: int = 0,
        policy: int = 0,
    ) -> None:
        """
        Args:
            resolve: The check a header asks for, or all that it may mean, which are tried in turn; None while there are no keys.
            keys: Those in force: a grant lives no longer than its key is among them.
            identity: Header lines for the backend, or None when a claim cannot be one; None for no header lines.
            logged: Members of the access log, or None when there is none; None for no claims in the log.
            only_encrypted: Refuse tokens that did not come encrypted.
            index: Row of the issuer, from 0 on.
            policy: The number that another Verification with the same rules has; 0 for a new one. What was granted under one number is
                dead under every other.
        """

    index: int
    policy: int

@final
class Gate:
    cache: GrantCache
    epoch: int
    max_token: int
    max_header: int
    faults: int
    last_fault: str
    def __init__(
        self,
        cache: GrantCache,
        *,
        verifications: Iterable[Verification],
        select: Callable[[str], int | Callable[[Mapping[str, Any]], int]] | None = None,
        max_token: int = 8192,
        decrypt: Callable[..., tuple[bytes, Collection[int]] | DenyReason] | None = None,
    ) -> None:
        """
        Args:
            verifications: One for each issuer, each with a row of its own.
            select: The row of the issuer of an `iss`, -1 for none, or a function of the claims that tells it where several have that `iss`. None
                when there is one issuer, which then judges every token.
            decrypt: Of a compact JWE, the signed token inside and the rows of the issuers that have the key, or why there is none. None while no
                issuer has keys for it.

        Raises:
            ValueError: No issuer, two in one row, or several and nothing to choose among them.
        """

    def reload(
        self,
        verifications: Iterable[Verification],
        *,
        select: Callable[[str], int | Callable[[Mapping[str, Any]], int]] | None = None,
        max_token: int = 8192,
        decrypt: Callable[..., tuple[bytes, Collection[int]] | DenyReason] | None = None,
    ) -> None:
        """
        Replace all issuers at once; arguments and errors as for the constructor, and after an error nothing has changed.

        Every known token is looked at once more before it is believed again. It lives on where its row has the same policy, its key is in force
        and `select` still finds that row for its `iss`.
        """

    def replace(self, verification: Verification) -> None:
        """
        Judge tokens of its issuer by this from now on.

        When a key went or the policy is another one, every known token is looked at once more before it is believed again, and those of that
        key or policy are dead.

        Raises:
            LookupError: No issuer has this row.
        """

    def renew(self) -> None:
        """Look at every known token once more before it is believed again: what is revoked has changed."""

    def verify(self, token: bytes, now: float, hint: Grant | None = None) -> tuple[Grant | None, DenyReason]:
        """Judge a bare token at a time in seconds since the epoch; one outside the alphabet of tokens is MALFORMED_CREDENTIALS."""

    def trace(self, token: bytes, now: float) -> list[tuple[str, int, Any]]:
        """
        Judge a bare token as one that was never seen, for people to read: each step as its name, its DenyReason (NONE: met) and a value.

        Goes on after the first refusal as far as it can, and quotes claims.
        """
