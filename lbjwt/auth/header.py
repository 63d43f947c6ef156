"""
The rules on a JOSE header: what it must not hold, and which key it may ask for.

Runs once per distinct header of good tokens (the gate remembers), and for every forged one. Pure: same header, same answer.

Source: RFC 7515 section 4, RFC 7516 section 9, RFC 7519 section 5, RFC 7797 section 7, RFC 8725 section 3,
RFC 9068 section 4.
"""

from collections.abc import Callable
from typing import Any

from lbjwt._fastverify import DenyReason, SignatureCheck
from lbjwt.auth.policy import PROFILE_TYPE, IssuerPolicy, media_type
from lbjwt.jose.imports import is_usable_key_id
from lbjwt.jose.keyring import KeyRing

__all__ = ["compile_header_rules"]

# crit: we understand no extension, so whatever it names is not understood (RFC 7515 section 4.1.11; an empty one is forbidden).
# b64: must not be used with JWTs (RFC 7797 section 7). enc, zip: the mark of a JWE (RFC 7516 section 9).
_REFUSED = frozenset({"crit", "b64", "enc", "zip"})
# Tokens that issuers or clients sign for another purpose and say so. Where no type is configured, none of them is an access token (RFC 8725
# section 3.12, THREATS A25): OIDC Back-Channel Logout section 2.4, RFC 8417 section 2.3, RFC 9449 section 4.2, RFC 9101,
# RFC 9701, RFC 9901.
_OF_OTHER_USE = frozenset(
    {"logout+jwt", "secevent+jwt", "dpop+jwt", "oauth-authz-req+jwt", "token-introspection+jwt", "kb+jwt"}
)


def compile_header_rules(
    keys: KeyRing, policy: IssuerPolicy
) -> Callable[[dict[str, Any]], SignatureCheck | DenyReason]:
    """
    Make the function that turns a parsed header into the one signature check it may have, or the reason for none.

    jku, x5u, jwk, x5c and x5t are never looked at: keys come from the ring alone (THREATS A6, A7).
    """
    allowed = None if policy.algorithms is None else frozenset(policy.algorithms)
    wanted_type = None if policy.typ is None else media_type(policy.typ)
    if policy.access_token_profile:
        wanted_type = PROFILE_TYPE

    def resolve(header: dict[str, Any]) -> SignatureCheck | DenyReason:
        if not _REFUSED.isdisjoint(header):
            return DenyReason.MALFORMED
        typ, cty, kid = header.get("typ"), header.get("cty"), header.get("kid")
        for text in (typ, cty, kid):
            if text is not None and not isinstance(text, str):
                return DenyReason.MALFORMED
        if cty is not None and media_type(cty) == "jwt":
            return DenyReason.MALFORMED  # nested (THREATS A26)
        given_type = None if typ is None else media_type(typ)
        if given_type in _OF_OTHER_USE if wanted_type is None else given_type != wanted_type:
            return DenyReason.WRONG_TYPE
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or (allowed is not None and algorithm not in allowed):
            return DenyReason.ALGORITHM_REFUSED
        if kid is not None and not is_usable_key_id(kid):
            return DenyReason.UNKNOWN_KEY
        return keys.find(kid, algorithm)

    return resolve
