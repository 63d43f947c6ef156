"""
What an issuer's tokens must say to be accepted, as one frozen value. Rules on data only: no keys, no clock, no tokens.
"""

from dataclasses import dataclass

from lbjwt.errors import ConfigurationError
from lbjwt.jose.algorithms import known_algorithms

__all__ = ["IssuerPolicy"]

MAX_CLOCK_SKEW = 300.0  # seconds; more would quietly extend every token's life (THREATS C4)


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerPolicy:
    """
    The rules for the tokens of one issuer.

    Attributes:
        issuer: The exact `iss`; None for any issuer.
        audiences: At least one of them must be in `aud`; None for any audience.
        algorithms: The JWS algorithms that may be used; None for what the keys say. Names are exact: `EdDSA` and `Ed25519` are two.
        clock_skew: Seconds of difference between clocks that are forgiven, 0 to 300.
        require_expiration: Refuse tokens without `exp`.
        required_claims: Names of claims that must be there and not null.
        max_lifetime: Greatest `exp - iat` in seconds; None for no limit. Both claims are then required.
        typ: The media type the `typ` header must name (RFC 8725 section 3.11), such as `at+jwt`; None for any.
        required_scopes: Scopes that must all be granted by `scope` or `scp`.
        allow_padding: Accept base64url with correct `=` padding, as some load balancers' issuers send it.
        max_token: Greatest token in bytes.

    Raises:
        ConfigurationError: A value out of range.
    """

    issuer: str | None
    audiences: tuple[str, ...] | None
    algorithms: tuple[str, ...] | None = None
    clock_skew: float = 60.0
    require_expiration: bool = True
    required_claims: tuple[str, ...] = ()
    max_lifetime: float | None = None
    typ: str | None = None
    required_scopes: tuple[str, ...] = ()
    allow_padding: bool = False
    max_token: int = 8192

    def __post_init__(self) -> None:
        if self.issuer == "":
            raise ConfigurationError("the issuer is empty; say any_issuer when any will do")
        if self.audiences is not None and (not self.audiences or "" in self.audiences):
            raise ConfigurationError(
                "the list of audiences is empty or holds an empty one; say any_audience when any will do"
            )
        if self.algorithms is not None:
            known_algorithms(self.algorithms)
        if not 0 <= self.clock_skew <= MAX_CLOCK_SKEW:
            raise ConfigurationError(f"clock_skew is {self.clock_skew} s; 0 to {MAX_CLOCK_SKEW:.0f} s are accepted")
        if self.max_lifetime is not None and not self.max_lifetime > 0:
            raise ConfigurationError("max_lifetime must be more than 0 s")
        if self.typ == "":
            raise ConfigurationError("typ is empty; leave it out when any type will do")
        for scope in self.required_scopes:
            # RFC 6750 section 3: what may stand in the challenge
            if not scope or not all(c == "!" or "#" <= c <= "[" or "]" <= c <= "~" for c in scope):
                raise ConfigurationError(f"the scope {scope!r} has a character that RFC 6750 does not allow")
        if not 64 <= self.max_token <= 65536:
            raise ConfigurationError(f"max_token is {self.max_token} bytes; 64 to 65536 are accepted")
