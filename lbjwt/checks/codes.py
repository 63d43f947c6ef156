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
    "any-issuer": "lbjwt accepts tokens of any issuer if one of these keys signed them",
    "any-audience": "lbjwt also accepts tokens that were issued for other services; set audiences instead (RFC 8725 §3.9)",
    "expiration-optional": "a token without exp stays valid until its key is removed",
    "keys-shared": "{other} has the same keys, so each of the two issuers can sign tokens of the other",
    "signer-unchecked": "every load balancer of the region signs with keys from this URL, those of strangers too; "
    "name yours as signer in required_headers",
    "jwks-plain-http": "lbjwt fetches the keys over plain http: anybody on the network path can replace them and sign any token",
    "jwks-stale-short": "max_stale is shorter than the time between two fetches: keys would expire although the issuer works",
    "authorization-without-scheme": "without a scheme, lbjwt reads Basic passwords and other credentials as tokens (RFC 9110 §11.6.2)",
    "cookie-without-prefix": "other hosts of the domain, and plain http, can overwrite this cookie with another token; begin its name with __Host-",
    "query-token": "browser histories, server logs and the Referer header record URLs, and with them this token (RFC 6750 §5.3)",
    # routes
    "nothing-protected": "every route is public, so lbjwt never requires a token",
    "public-everything": "this public route matches every request that no other route matches, also those for a forgotten path",
    "public-over-protected": "lbjwt compares hosts before paths, so for {host} this public route wins over {route}, which requires a token",
    "methods-left-open": "requests for the same paths with other methods, such as {method}, match {route}, which is public",
    "report-only": "this route only reports: every request passes, with or without a valid token",
    "optional-everything": "every request that no other route matches passes without a token",
    "optional-skips-rules": "a request without a token passes, and lbjwt does not check {keys}",
    "streams-outlive-token": "a WebSocket or a long response continues after its token has expired or was revoked",
    "redirect-plain-http": "the login page uses plain http, so anybody on the network path can replace it; use https",
    "email-unverified": "many issuers do not verify email addresses; check email_verified, too, or compare sub (OpenID Connect Core §5.7)",
    "rewrite-around-route": "endpoints get a request for {asked} as {target}, which {route} protects by other rules; give both routes the same "
    "rules, or choose another path",
    "cluster-unused": "no route forwards to this cluster; name it in a route, or remove it",
    "forwarding-unused": "every listener has mode: authorize, so lbjwt forwards nothing, and {what} no effect; remove {it}, or add a "
    "listener that forwards",
    # text that is compared as it stands
    "variable-as-text": NOT_REPLACED,
    "path-with-star": "lbjwt compares paths literally, without wildcards and parameters; to match everything below a path, use prefix",
    "claim-with-dots": "a dot is part of a claim's name, so this names a single claim; for a claim inside a claim, write [{steps}]",
    # the service
    "listener-plain": "this listener has no TLS, so anybody on the network path can steal the tokens",
    "asked-by-everyone": "everybody may ask this listener, and name any address as that of the client; list your own proxies, or set secret_file",
    "asked-by-every-user": "every user of this machine may ask this listener, and name any address as that of the client; take the last digit of the "
    "mode back to 0, or set secret_file",
    "header-names-allow": "some backends read X_Jwt_Sub as X-Jwt-Sub, so clients can forge the headers that lbjwt sets",
    "identity-without-issuer": "two issuers can give the same sub to different people (RFC 7519 §4.1.2); pass iss on as well",
    "trust-everyone": "lbjwt accepts X-Forwarded-For from everybody, so clients can forge their address; list your own proxies only",
    "log-personal-data": "{claim} identifies a person to everybody who can read the access log; sub is enough to find the requests of a user",
    "log-payload": "the access log has every claim of each token, also names and addresses of people; list the claims that you need in claims",
    "admin-exposed": "the admin API requires no password, and other machines can reach it; with remote_access: metrics they can only read metrics",
    "revocation-forgotten": "revocations made through the admin API are lost at a restart; set state_directory",
    "revocation-without-lifetime": "revocations expire, and without max_lifetime a token may be valid for longer than its revocation",
    "backend-unverified": "lbjwt does not verify the certificates of these endpoints, so anybody on the network path can read and change requests, "
    "tokens included; set ca instead of verify: false",
    "auto-without-tls": "no endpoint of this cluster uses TLS, and only its handshake tells what an endpoint offers, so auto means HTTP/1.1; "
    "for HTTP/2 without TLS, write http2",
    "check-overlaps": "the timeout of the check is not shorter than its interval: an endpoint that hangs is checked less often than configured",
    # files and secrets
    "key-left-out": "{what}",
    "key-file-writable": "every user of this machine can write {file} and so choose which keys are trusted",
    "authority-file-writable": "every user of this machine can write {file} and so choose which endpoints are trusted",
    "secret-open": "every user of this machine can read or write {file}; run chmod 600 on it",
    "socket-directory-open": "every user of this machine can write in {directory}, and so answer the proxy at this path while lbjwt is down; "
    "choose a directory that only lbjwt can write",
    "secret-guessable": "{name} {fault}",
    "secret-line-break": "{name} ends with a line break, which is part of the secret; remove it if the issuer uses the secret without it",
    "tls-certificate": "{what}",
    "endpoints-file": "{what}; lbjwt starts without the endpoints of this file, and uses them when it is mended",
    "revocation-file-writable": "every user of this machine can write {file}, and so revoke all tokens or undo a revocation",
    "state-directory-open": "every user of this machine can read in {file} whose tokens were revoked; run chmod 700 on it",
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
