"""
The warnings of a configuration: each code with what is dangerous about it.

A code is stable: people search for it and silence it. A warning names a security hole, or something that can never match or work. Sound
configurations earn none: a warning that comes for nothing teaches people to ignore warnings.
"""

from typing import Final

from lbjwt.config.fields import NOT_REPLACED
from lbjwt.config.problems import KeyPath, Problem

SENTENCES: Final = {
    # issuers
    "any-issuer": "tokens of any issuer are accepted if their signature matches the keys",
    "any-audience": "a token made for another service opens this one (RFC 8725 §3.9)",
    "expiration-optional": "a token without exp is good until its key goes",
    "keys-shared": "{other} has these keys, too: each of the two can sign the other's tokens",
    "jwks-plain-http": "keys come over plain http: anybody on the network path can replace the keys and sign any token",
    "jwks-stale-short": "an answer may be fresh for longer than this: keys would lapse, and every token get 503, while the issuer is well",
    "authorization-without-scheme": "passwords of Basic and credentials of every other scheme are then read as tokens (RFC 9110 §11.6.2)",
    "cookie-without-prefix": "any host below the same domain, and plain http, can put a token of its own in this cookie; __Host- forbids it",
    "query-token": "a URL ends in histories, in logs of others and in Referer; a token in it does, too (RFC 6750 §5.3)",
    # routes
    "nothing-protected": "every route is open: no token is ever asked for",
    "public-everything": "whatever no other route is for is open: a path that was forgotten, too",
    "public-over-protected": "a host counts more than a path: for {host} it wins over {route}, which asks for a token, and opens its paths",
    "methods-left-open": "the same paths with other methods, such as {method}, fall to {route}, which is open",
    "report-only": "every request passes, whatever its token: nothing is protected yet",
    "optional-everything": "whatever no other route is for passes without a token",
    "optional-skips-rules": "a request without a token is not asked for {keys}, and passes",
    "streams-outlive-token": "a WebSocket or a long response goes on for as long as its peers like, revoked or not",
    "redirect-plain-http": "anybody on the network path can answer with a login page of their own",
    "email-unverified": "many issuers let people type any address; ask for email_verified, too, or for sub (OpenID Connect Core §5.7)",
    # text that is compared as it stands
    "variable-as-text": NOT_REPLACED,
    "path-with-star": "paths are compared as they stand: there are no wildcards and parameters; for everything below a path, write prefix",
    "claim-with-dots": "a dot is a part of the name, and this is the name of one claim; for a claim inside a claim, write [{steps}]",
    # the service
    "listener-plain": "no TLS off loopback: anybody who sees a token on the network can use it",
    "header-names-allow": "some backends read X_Jwt_Sub as X-Jwt-Sub: clients can then speak with the balancer's voice",
    "identity-without-issuer": "a sub is somebody only beside its issuer (RFC 7519 §4.1.2): pass iss on as well, or two people are one",
    "trust-everyone": "everybody's X-Forwarded-For is believed: client addresses mean nothing",
    "admin-exposed": "the admin API asks for no password and is reachable from other machines",
    "revocation-forgotten": "revocations made through the admin API are lost at a restart; give a state_directory",
    "revocation-without-lifetime": "revocations expire, and without max_lifetime a token may live longer than its revocation",
    # files and secrets
    "key-left-out": "{what}",
    "key-file-writable": "everybody may write {file}, and so choose whose keys are trusted",
    "secret-open": "everybody on this machine may read or write {file}; chmod 600 it",
    "secret-guessable": "{name} {fault}",
    "secret-line-break": "{name} ends with a line break, which is a part of the secret as it stands; the issuer may have it without",
    "tls-certificate": "{what}",
    "revocation-file-writable": "everybody may write {file}, and so revoke all tokens or undo a revocation",
    "state-directory-open": "everybody on this machine may read in {file} whose tokens were revoked; chmod 700 it",
}  # fmt: skip


def warning(path: KeyPath, code: str, *, at_key: bool = False, **words: object) -> Problem:
    """
    Return the warning with a code.

    Args:
        at_key: The value at the path is a mapping, or is not there: the key is shown.
        words: What the sentence of the code has in braces.
    """
    sentence = SENTENCES[code].format(**words) if words else SENTENCES[code]
    return Problem(path, sentence, "warning", code, at_key=at_key)
