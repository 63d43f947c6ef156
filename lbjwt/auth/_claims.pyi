"""The rules on claims (RFC 7519 section 4.1), compiled from an IssuerPolicy."""

from typing import final

from lbjwt._fastverify import ClaimRules
from lbjwt.auth.policy import IssuerPolicy

@final
class PolicyRules(ClaimRules):
    """
    What one policy asks of the claims of a token.

    Types first (INVALID_CLAIM), then issuer, audience, times, lifetime, age, required claims, subject, client, binding and scopes. A token
    is valid when `nbf - skew <= now < exp + skew`, its `iat` is no later than `now + skew`, and `now` is before its age limit + skew.
    """

    def __init__(self, policy: IssuerPolicy) -> None: ...
