"""
Decisions for another proxy that asks whether a request may pass: a verdict in, the answer out that this proxy understands.

*Allowed* is 200 and nothing else, with an empty body: nginx and Caddy let any 2xx pass, Envoy only 200. The answer has every configured identity
header, empty where the token has no such claim. The proxy puts these headers on the request, and one that is not in the answer would leave there what
the client sent under its name. `X-Envoy-Auth-Headers-To-Remove` names the headers of the token that are not passed on, and every other spelling of
the identity headers.

*Denied* is any other status. A proxy that cannot take one gets the nearest that it can, and the real one in `X-Lbjwt-Status`.

Source: ngx_http_auth_request_module; Envoy's ext_authz filter (`HttpService`); Caddy's forward_auth; Traefik's ForwardAuth.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lbjwt.http1._answer import Answer

REMOVE: Final = "X-Envoy-Auth-Headers-To-Remove"
STATUS: Final = "X-Lbjwt-Status"
OWN_PROTOCOLS: Final = frozenset({"spoe", "check"})
"""Where proxies describe the original request that do not ask by HTTP: HAProxy's SPOE filter, and Envoy by gRPC."""
MAX_HYPHENS: Final = 4
"""In a header name whose other spellings are all listed for removal, which are 2 to this power."""

_NOT_A_DENIAL: Final = Answer(
    503, b"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n", b"unavailable\n"
)


@dataclass(frozen=True, slots=True)
class Profile:
    """
    What one proxy expects of who answers it.

    Attributes:
        original: Where it usually describes the original request: `wire`, `x-forwarded` or `x-original`; one of `OWN_PROTOCOLS` for always there.
        redirects: It passes a redirect on to the browser.
        three_statuses: It understands 200, 401 and 403, and makes 500 of every other.
    """

    original: str
    redirects: bool = True
    three_statuses: bool = False

    def adapted(self, answer: Answer) -> Answer:
        """The answer with a status that the proxy can take. One that it would take for *allowed* becomes 503."""
        if answer.status < 300:
            return _NOT_A_DENIAL
        if not self.three_statuses or answer.status in (401, 403) or answer.status >= 500:
            return answer
        fields = _own_fields(answer)
        challenged = any(name.lower() == b"www-authenticate" for name, _ in fields)
        # A malformed token or two of them are cured by another token; a path or an address is not.
        status = 401 if answer.status == 400 and challenged else 403
        if status == 403:
            fields = [field for field in fields if field[0].lower() != b"www-authenticate"]
        fields = [(STATUS.encode(), b"%d" % answer.status), *fields]
        return Answer(status, b"".join(b"%b: %b\r\n" % field for field in fields), answer.body)


PROFILES: Final[Mapping[str, Profile]] = MappingProxyType(
    {
        "nginx": Profile("x-original", redirects=False, three_statuses=True),
        "envoy": Profile("wire"),
        "caddy": Profile("x-forwarded"),
        "traefik": Profile("x-forwarded"),
        "haproxy": Profile("spoe"),
        "envoy-grpc": Profile("check"),
    }
)


class Allowing:
    """
    Makes the answer *allowed*.

    Args:
        identity: Names of all identity headers, of which those that a token has no claim for are empty.
        remove: Names of the headers with tokens that are not passed on.
    """

    def __init__(self, identity: Iterable[str], remove: Iterable[str] = ()) -> None:
        self._names = list({name.lower(): name for name in identity}.values())
        removed = [*remove, *itertools.chain.from_iterable(map(other_spellings, self._names))]
        listed = ", ".join(dict.fromkeys(removed))
        self._last = (f"{REMOVE}: {listed}\r\n" if listed else "").encode("ascii") + b"Cache-Control: no-store\r\n"

    def __call__(self, lines: bytes) -> Answer:
        """
        Args:
            lines: Identity headers of the request, each with its CRLF.
        """
        there = {line.partition(b":")[0].lower() for line in lines.split(b"\r\n")}
        empty = [name.encode("ascii") + b": \r\n" for name in self._names if name.lower().encode("ascii") not in there]
        return Answer(200, b"".join([lines, *empty, self._last]), b"")


def other_spellings(name: str) -> Sequence[str]:
    """Header names that some applications take for this one: with underscores in place of hyphens. None for a name with many hyphens."""
    parts = name.lower().split("-")
    if not 1 < len(parts) <= MAX_HYPHENS + 1:
        return ()
    joints = itertools.product("-_", repeat=len(parts) - 1)
    spelled = (
        "".join(itertools.chain.from_iterable(itertools.zip_longest(parts, one, fillvalue=""))) for one in joints
    )
    return [one for one in spelled if "_" in one]


@dataclass(frozen=True, slots=True)
class Decision:
    """
    An answer taken apart, for protocols other than HTTP.

    Attributes:
        status: Of the response to the client when it is denied.
        headers: To set on the request when it is allowed (an empty value removes the header), otherwise of the response.
        remove: Names of headers to remove from the request.
        body: Of the response when it is denied.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    remove: tuple[bytes, ...]
    body: bytes

    @property
    def allowed(self) -> bool:
        return self.status == 200


def decision_of(answer: Answer) -> Decision:
    """What an answer of an authorizer says."""
    fields = _own_fields(answer)
    if answer.status != 200:
        return Decision(answer.status, tuple(fields), (), answer.body)
    remove = [value for name, value in fields if name == REMOVE.encode()]
    headers = [field for field in fields if field[0] not in (REMOVE.encode(), b"Cache-Control")]
    return Decision(200, tuple(headers), tuple(remove[0].split(b", ")) if remove else (), b"")


def _own_fields(answer: Answer) -> list[tuple[bytes, bytes]]:
    """The fields it was made with."""
    return [field for field in answer.header_fields() if field[0] not in (b"Server", b"Content-Length")]
