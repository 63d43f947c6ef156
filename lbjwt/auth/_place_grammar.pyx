"""The grammar of credentials for `Verifier.authorize`; it stands in the .pxd, inlined into the search of traffic."""

from lbjwt._fastverify cimport DenyReason


def bearer_token(bytes value not None):
    """The reason for which an Authorization value has no bearer token, or NONE; and the token."""
    cdef Slice token = Slice(NULL, 0)
    cdef Match match = match_credentials(Slice(value, len(value)), Slice(b"bearer", 6), &token)
    if match == Match.ANOTHER:
        return DenyReason.MISSING, b""
    if match == Match.DOUBTFUL or token.size == 0:
        return DenyReason.MALFORMED_CREDENTIALS, b""
    return DenyReason.NONE, token.at[:token.size]
