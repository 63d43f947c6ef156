"""
What an issuer's tokens must have to be accepted, as one frozen value.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lbjwt.auth.issuer_pattern import IssuerPattern
from lbjwt.errors import ConfigurationError
from lbjwt.jose.algorithms import check_algorithms

CLOCK_SKEW = 60.0  # seconds, by default
MAX_TOKEN = 8192  # bytes, by default
MAX_CLOCK_SKEW = 300.0  # seconds; a larger one would extend every token's life (THREATS C4)
SCOPE = r"[\x21\x23-\x5B\x5D-\x7E]{1,128}"  # RFC 6749 section 3.3
PROFILE_TYPE = "at+jwt"  # RFC 9068 section 2.1
MAX_AFFIXES = 100  # prefixes or suffixes of subjects: they are compared one after the other
MAX_REQUIRED_HEADERS = 16  # members
PROFILE_CLAIMS = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")  # RFC 9068 section 2.2

# crit: lbjwt implements no extension (RFC 7515 section 4.1.11). b64: not allowed in JWTs (RFC 7797 section 7). enc, zip: a JWE (RFC 7516 section 9).
# They are refused with null too, since a reader that takes null for a value would read another token.
REFUSED = frozenset({"crit", "b64", "enc", "zip"})

HeaderValue = str | int | bool
"""What a member of a JOSE header can be required to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerPolicy:
    """
    The rules for the tokens of one issuer.

    Attributes:
        issuer: The exact `iss`; a pattern with a tenant in it; None for any issuer.
        audiences: At least one of them must be in `aud`; None for any audience.
        algorithms: The accepted JWS algorithms; None for those of the keys. Names are exact: `EdDSA` and `Ed25519` are two.
        clock_skew: Accepted difference between clocks in seconds, 0 to 300.
        require_expiration: Refuse tokens without `exp`.
        required_claims: Names of claims that must be present and not null.
        max_lifetime: Greatest `exp - iat` in seconds; None for no limit. Both claims are then required.
        max_remaining: Greatest `exp - now` in seconds; the clock skew is added. None for no limit. `exp` is then required.
        max_age: Seconds after `auth_time`, or else `iat`, at which a token is TOO_OLD whatever its `exp`; the clock skew is added. None for
            no limit. One of the two claims is then required.
        typ: The required media type in the `typ` header (RFC 8725 section 3.11), such as `at+jwt`; None for any but those of other
            kinds of tokens.
        required_headers: Members of the JOSE header that must be there, each with one of these values, equal in type and as a whole.
        subjects: The `sub` must be one of them, or match a prefix or suffix; None for any or none.
        subject_prefixes: A `sub` that begins with one of them is accepted, too. Case matters.
        subject_suffixes: A `sub` that ends with one of them is accepted, too.
        clients: `azp` and `client_id`, at least one of them present, must each be one of these; None for any or none.
        access_token_profile: Require RFC 9068: `typ` is `at+jwt`, and iss, exp, aud, sub, client_id, iat and jti are present.
        refuse_sender_constrained: Refuse a token with `cnf`, which is bound to a key; lbjwt does not check the proof
            (RFC 9449 section 7.2, RFC 8705 section 3).
        required_scopes: Scopes that must all be granted by `scope` or `scp`.
        allow_padding: Accept base64url with correct `=` padding, in tokens and keys.
        max_token: Maximum bytes of a token.
        max_token_header: Maximum characters of the first part of a token; None for no limit beyond max_token.

    Raises:
        ConfigurationError: A value out of range.
    """

    issuer: str | IssuerPattern | None
    audiences: tuple[str, ...] | None
    algorithms: tuple[str, ...] | None = None
    clock_skew: float = CLOCK_SKEW
    require_expiration: bool = True
    required_claims: tuple[str, ...] = ()
    max_lifetime: float | None = None
    max_remaining: float | None = None
    max_age: float | None = None
    typ: str | None = None
    required_headers: Mapping[str, tuple[HeaderValue, ...]] = field(
        default_factory=dict, hash=False
    )  # compared, but has no hash
    subjects: tuple[str, ...] | None = None
    subject_prefixes: tuple[str, ...] = ()
    subject_suffixes: tuple[str, ...] = ()
    clients: tuple[str, ...] | None = None
    access_token_profile: bool = False
    refuse_sender_constrained: bool = False
    required_scopes: tuple[str, ...] = ()
    allow_padding: bool = False
    max_token: int = MAX_TOKEN
    max_token_header: int | None = None

    def __post_init__(self) -> None:
        if self.issuer == "":
            raise ConfigurationError("the issuer is empty; set any_issuer to accept any")
        check_audiences(self.audiences)
        if self.algorithms is not None:
            check_algorithms(self.algorithms)
        if not 0 <= self.clock_skew <= MAX_CLOCK_SKEW:
            raise ConfigurationError(f"clock_skew is {self.clock_skew} s; 0 to {MAX_CLOCK_SKEW:.0f} s are accepted")
        if self.max_lifetime is not None and not self.max_lifetime > 0:
            raise ConfigurationError("max_lifetime must be more than 0 s")
        if self.max_remaining is not None and not self.max_remaining > 0:
            raise ConfigurationError("max_remaining must be more than 0 s")
        if self.max_age is not None and not 0 < self.max_age < float("inf"):
            raise ConfigurationError("max_age must be more than 0 s; leave it out to accept any age")
        if self.typ == "":
            raise ConfigurationError("typ is empty; leave it out to accept any type")
        if self.access_token_profile and self.typ is not None and media_type(self.typ) != PROFILE_TYPE:
            raise ConfigurationError(f"access_token_profile requires typ {PROFILE_TYPE}, but typ requires another one")
        for name, listed in (("subjects", self.subjects), ("clients", self.clients)):
            if listed is not None and (not listed or "" in listed):
                raise ConfigurationError(
                    f"the list of {name} is empty or contains an empty string; leave it out to accept any"
                )
        for name, affixes in (("subject_prefixes", self.subject_prefixes), ("subject_suffixes", self.subject_suffixes)):
            if "" in affixes or len(affixes) > MAX_AFFIXES:
                raise ConfigurationError(f"{name} contains an empty string, or has more than {MAX_AFFIXES} items", name)
        check_required_headers(self.required_headers)
        check_scopes(self.required_scopes)
        if not 64 <= self.max_token <= 65536:
            raise ConfigurationError(f"max_token is {self.max_token} bytes; 64 to 65536 are accepted")
        if self.max_token_header is not None and not 64 <= self.max_token_header <= 65536:
            raise ConfigurationError(
                f"max_token_header is {self.max_token_header} characters; 64 to 65536 are accepted"
            )

    @property
    def any_subject(self) -> bool:
        """True when every `sub` is accepted, and none."""
        return self.subjects is None and not self.subject_prefixes and not self.subject_suffixes


def check_required_headers(required: Mapping[str, tuple[HeaderValue, ...]]) -> None:
    """ConfigurationError, at the wrong member, for one that could never match."""
    if len(required) > MAX_REQUIRED_HEADERS:
        raise ConfigurationError(f"at most {MAX_REQUIRED_HEADERS} header members can be required", "required_headers")
    for name, values in required.items():
        if not name or name in REFUSED:
            raise ConfigurationError(
                f"lbjwt accepts no token with the header member {name!r}, so it cannot be required",
                "required_headers",
                name,
            )
        if not values or "" in values:
            raise ConfigurationError("give one value or several, none of them empty", "required_headers", name)


def media_type(value: str) -> str:
    """A media type for comparison: any case, `application/` left out (RFC 7515 section 4.1.9)."""
    folded = value.lower()
    return folded.removeprefix("application/") if folded.count("/") == 1 else folded


def check_audiences(audiences: tuple[str, ...] | None) -> None:
    if audiences is not None and (not audiences or "" in audiences):
        raise ConfigurationError(
            "the list of audiences is empty or contains an empty string; set any_audience to accept any"
        )


def are_disjoint(*audiences: tuple[str, ...] | None) -> bool:
    """True when a member of `aud` can belong to one of these lists only; None accepts any."""
    named = [name for one in audiences for name in one or ()]
    return None not in audiences and len(set(named)) == len(named)


def check_scopes(scopes: Iterable[str]) -> None:
    for at, scope in enumerate(scopes):
        if not re.fullmatch(SCOPE, scope):
            raise ConfigurationError(
                "a scope must be visible ASCII without spaces, quotes and backslashes; write each scope as an item of its own",
                at,
            )
