# The two claims that are sets of words, audience and scope, compared by whole words.

from lbjwt._fastverify cimport DenyReason


cdef inline int judge_audience(dict claims, frozenset wanted) except -1:
    """`aud`: a string, or a list of strings only; one of the wanted must be among them (THREATS C9). wanted None: any will do."""
    cdef object audience = claims.get("aud")
    cdef bint met = wanted is None
    if audience is None and "aud" not in claims:
        return DenyReason.NONE if met else DenyReason.MISSING_CLAIM
    if type(audience) is str:
        met = met or audience in wanted
    elif type(audience) is list:
        for member in <list>audience:
            if type(member) is not str:
                return DenyReason.INVALID_CLAIM
            met = met or member in wanted
    else:
        return DenyReason.INVALID_CLAIM
    return DenyReason.NONE if met else DenyReason.WRONG_AUDIENCE


cdef inline object granted_scopes(dict claims):
    """
    `scope` (RFC 8693 section 4.2), else `scp`: a string with single spaces between the scopes, or a list of strings (THREATS C11).

    Returns a list of strings, empty when neither claim is there, or None when it is of another type.
    """
    cdef object granted = claims.get("scope")
    if granted is None:
        granted = claims.get("scp")
    if granted is None:
        return []
    if type(granted) is str:
        return (<str>granted).split(" ")
    if type(granted) is not list:
        return None
    for scope in <list>granted:
        if type(scope) is not str:
            return None
    return granted


cdef inline int judge_scopes(dict claims, frozenset wanted, bint any_of) except -1:
    """All of the wanted scopes must be granted; any_of: one of them."""
    cdef object granted = granted_scopes(claims)
    if granted is None:
        return DenyReason.INVALID_CLAIM
    if not wanted.isdisjoint(granted) if any_of else wanted.issubset(granted):
        return DenyReason.NONE
    return DenyReason.INSUFFICIENT_SCOPE
