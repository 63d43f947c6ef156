"""
What a refused client is told: DenyReason in, ready-to-send fields and body out.

Four shapes only (THREATS A28): a reason beyond them would help whoever is guessing. The reason itself goes to log and counter.

Source: RFC 6750 section 3, RFC 9110 sections 10.2.3 and 11.6.1.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lbjwt._fastverify import DenyReason
from lbjwt.errors import ConfigurationError

__all__ = ["Refusal", "compile_refusals"]


@dataclass(frozen=True, slots=True)
class Refusal:
    """
    One answer, without status line, Date and Connection, which belong to the connection.

    Attributes:
        status: 400, 401, 403 or 503.
        fields: Complete header lines, each ended by CRLF, Content-Length included.
        body: As long as Content-Length says. To a HEAD request only the fields are sent.
    """

    status: int
    fields: bytes
    body: bytes


def compile_refusals(
    realm: str = "lbjwt", *, required_scopes: Iterable[str] = (), retry_after: int = 5
) -> tuple[Refusal, ...]:
    """
    All answers, to be indexed by DenyReason. At NONE stands what a fault of ours gets: nothing is ever refused for no reason.

    Args:
        realm: Printable ASCII; quoted as needed.
        required_scopes: Named to a client whose token lacks one.
        retry_after: Seconds, for KEYS_UNAVAILABLE.

    Raises:
        ConfigurationError: A realm that cannot stand in a header.
    """
    if not (realm.isascii() and realm.isprintable()):
        raise ConfigurationError("the realm has a character that cannot stand in a header")
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    challenge = f'WWW-Authenticate: Bearer realm="{quoted}"'
    scopes = " ".join(required_scopes)
    missing = _refusal(401, "unauthorized", challenge)
    invalid_token = _refusal(401, "unauthorized", f'{challenge}, error="invalid_token"')
    invalid_request = _refusal(400, "bad request", f'{challenge}, error="invalid_request"')
    forbidden = _refusal(
        403, "forbidden", f'{challenge}, error="insufficient_scope"' + (f', scope="{scopes}"' if scopes else "")
    )
    special = {
        DenyReason.MISSING: missing,
        DenyReason.MULTIPLE_TOKENS: invalid_request,
        DenyReason.MALFORMED_CREDENTIALS: invalid_request,
        DenyReason.INSUFFICIENT_SCOPE: forbidden,
        DenyReason.CLAIM_REFUSED: forbidden,
        DenyReason.SUBJECT_REFUSED: forbidden,
        DenyReason.CLIENT_REFUSED: forbidden,
        DenyReason.RATE_LIMITED: _refusal(429, "too many requests", f"Retry-After: {retry_after}"),
        DenyReason.KEYS_UNAVAILABLE: _refusal(503, "service unavailable", f"Retry-After: {retry_after}"),
    }
    return tuple(special.get(DenyReason(number), invalid_token) for number in range(len(DenyReason)))


def _refusal(status: int, text: str, line: str) -> Refusal:
    body = text.encode("ascii") + b"\n"
    fields = f"{line}\r\nContent-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: {len(body)}\r\n"
    return Refusal(status, fields.encode("ascii"), body)
