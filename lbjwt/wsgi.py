"""
Tokens in WSGI applications: Flask, Django, Bottle, Pyramid.

Source: PEP 3333; RFC 3875 section 4.1.18; RFC 6750 sections 2 and 3.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import wait
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Unpack

from lbjwt.web.open_streams import ENDED, LOOK, has_events, stands
from lbjwt.web.protection import Protection, Requirements, Response, response_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from lbjwt._grants import Grant
    from lbjwt.verifier import Verifier
    from lbjwt.web._reader import Decision

CLAIMS = "lbjwt.claims"
VERIFIED_TOKEN = "lbjwt.verified_token"  # noqa: S105 - the name of a key


class JWTMiddleware:
    """
    Lets requests through that have a good token, and answers the others as the balancer does.

    The application finds in its environment `lbjwt.claims`, a dict of its own, and `lbjwt.verified_token`, the `Grant` with issuer and times. Both
    are None for a request without a token on a public path or with `optional`. No request can set them.

    A token with an unknown key waits for the fetch of the keys, and so do the first requests.

    A response that the application yields in parts ends with its token: a stream of events (text/event-stream) as a whole, any other one with an
    OSError for the server, which closes the connection. That is seen when the next part comes. Files that the server sends by itself
    (`wsgi.file_wrapper`) go on.

    WSGI servers join fields of one name with commas, so a request with two tokens is refused as malformed, with the same status.

    Args:
        app: The application.
        verifier: Verifies the tokens.
        requirements: The arguments of `lbjwt.web.protection.Protection`; see `lbjwt.asgi.JWTMiddleware`. WSGI has no WebSockets, so
            `from_subprotocol` has no effect.

    Raises:
        ConfigurationError: An invalid requirement.
    """

    def __init__(self, app: WSGIApplication, verifier: Verifier, **requirements: Unpack[Requirements]) -> None:
        self.app = app
        self._verifier = verifier
        self._protection = Protection(verifier, **requirements)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        decision = self._decide(environ)
        asked: set[int] = set()
        while decision.waits_for >= 0 and decision.waits_for not in asked:
            asked.add(decision.waits_for)
            coming = self._verifier.request_keys(decision.waits_for)
            if coming is None:
                break
            wait([coming], self._verifier.max_wait)
            decision = self._decide(environ)
        if decision.status:
            return _refuse(response_of(decision), environ, start_response)
        environ[CLAIMS] = decision.claims
        environ[VERIFIED_TOKEN] = decision.grant
        if decision.token_in_query:
            start_response = _privately(start_response)
        if decision.grant is None or decision.grace < 0:
            return self.app(environ, start_response)
        body = OpenBody(start_response, self._verifier, decision.grant, decision.grace)
        return body.of(self.app(environ, body.start_response), environ)

    def _decide(self, environ: WSGIEnvironment) -> Decision:
        return self._protection.decide(
            environ["REQUEST_METHOD"],
            # alone, as the application routes by it: some servers take SCRIPT_NAME, and cut it off the path, from a header of the client
            environ.get("PATH_INFO", "").encode("latin-1"),
            environ.get("QUERY_STRING", "").encode("latin-1"),
            _fields(environ),
            environ.get("wsgi.url_scheme") == "https",
        )


class OpenBody(Iterator[bytes]):
    """
    The body of a response that the application yields in parts, until its token is no longer valid.

    Args:
        grace: Seconds for which it outlives the expiry of its token.
        look: Seconds between two looks at the token.
    """

    def __init__(
        self,
        start_response: StartResponse,
        verifier: Verifier,
        grant: Grant,
        grace: float,
        look: float = LOOK,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._start_response = start_response
        self._verifier = verifier
        self._grant = grant
        self._grace = grace
        self._look = look
        self._clock = clock
        self._has_events = False
        self._body: Iterable[bytes] = ()
        self._parts: Iterator[bytes] = iter(())
        self._due = time.monotonic() + look

    def start_response(self, status: str, headers: list[tuple[str, str]], *more: Any) -> Callable[[bytes], object]:
        """What the application calls."""
        self._has_events = has_events((name.encode("latin-1"), value.encode("latin-1")) for name, value in headers)
        return self._start_response(status, headers, *more)

    def of(self, body: Iterable[bytes], environ: WSGIEnvironment) -> Iterable[bytes]:
        """This object with the body; the body itself if it is there as a whole, or the server sends it from a file."""
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(body, list | tuple) or (isinstance(wrapper, type) and isinstance(body, wrapper)):
            return body
        self._body, self._parts = body, iter(body)
        return self

    def __next__(self) -> bytes:
        part = next(self._parts)
        now = time.monotonic()
        if now >= self._due:
            self._due = now + self._look
            if not stands(self._verifier, self._grant, self._grace, self._clock()):
                if self._has_events:
                    raise StopIteration
                raise OSError(ENDED)
        return part

    def close(self) -> None:
        """Called by the server at the end, however that came."""
        close = getattr(self._body, "close", None)
        if close is not None:
            close()


def _fields(environ: WSGIEnvironment) -> Iterator[tuple[bytes, bytes]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")


def _refuse(response: Response, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    fields = [(name.decode("latin-1").title(), value.decode("latin-1")) for name, value in response.headers]
    start_response(f"{response.status} {HTTPStatus(response.status).phrase}", fields)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [response.body]


def _privately(start_response: StartResponse) -> StartResponse:
    """Keep shared caches from a response whose URL has a token (RFC 6750 section 2.3)."""

    def wrapped(status: str, headers: list[tuple[str, str]], exc_info: Any = None, /) -> Callable[[bytes], object]:
        more = [*headers, ("Cache-Control", "private")]
        return start_response(status, more) if exc_info is None else start_response(status, more, exc_info)

    return wrapped
