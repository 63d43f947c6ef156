"""
What an application asks of the token of a request, and the answer to a request that has no such token: the balancer's admission, without a balancer.

Routes, token locations, rules and refusals are those of the configuration, whose sections check the arguments, too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, TypedDict

from lbjwt.assembly.issuers import issuer_instances
from lbjwt.assembly.routes import new_admission
from lbjwt.auth._route_rules import route_rules
from lbjwt.config.issuer import Issuer
from lbjwt.config.places import FromCookie, FromHeader, FromParam, TokenLocations
from lbjwt.config.route import Route as RouteSection
from lbjwt.config.values import section_of
from lbjwt.errors import ConfigurationError
from lbjwt.http1._answer import Answer
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._route import Demand, Route
from lbjwt.proxy.answers import route_answers
from lbjwt.routing._router import Router
from lbjwt.web._reader import Decision, Reader

if TYPE_CHECKING:
    from lbjwt._fastverify import DenyReason
    from lbjwt.config.model import Configuration
    from lbjwt.verifier import Verifier

REALM: Final = "lbjwt"
_TEXT: Final = b"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"

log = logging.getLogger("lbjwt.web")


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a refused request. Names of fields are in lower case."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Requirements(TypedDict, total=False):
    """The arguments of `Protection`, for middleware that hands them on."""

    scopes: Iterable[str]
    any_scope: Iterable[str]
    audiences: Iterable[str]
    rules: Iterable[Mapping[str, Any]]
    optional: bool
    public: Iterable[str]
    public_prefixes: Iterable[str]
    from_headers: Iterable[Mapping[str, Any]] | None
    from_cookies: Iterable[str]
    from_params: Iterable[str]
    from_subprotocol: bool
    end_streams: bool
    realm: str | None
    json: bool
    expose_reason: bool


class Protection:
    """
    What requests need to pass. May be used from several threads.

    With a verifier that has a configuration, the token locations are those of its issuers. If nothing is asked for here either, the routes of the
    configuration decide, as in the balancer; without routes, every request needs a token.

    Args:
        verifier: Verifies the tokens.
        scopes: The token needs all of them.
        any_scope: The token needs one of them.
        audiences: The `aud` claim must contain one of them, in addition to one of the issuer's.
        rules: Rules on claims, as in `routes[].rules` of the configuration; all of them must hold.
        optional: Let requests without a token pass. A bad token is still refused.
        public: Paths that need no token, each as a whole. A token that comes is not read.
        public_prefixes: The same for the beginnings of paths, in whole segments.
        from_headers: Headers that may hold the token, as in `issuers.*.from_headers`: `{"name": "X-Token", "scheme": ""}`. None for `Authorization`
            with `Bearer`, if no other location is named.
        from_cookies: Names of cookies that may hold the token.
        from_params: Names of query parameters that may hold the token. Queries end up in logs and histories (RFC 6750 section 5.3).
        from_subprotocol: Accept the token as a WebSocket subprotocol: `bearer, <token>`.
        end_streams: End WebSockets and responses in parts when their token expires or is revoked.
        realm: Named in the challenge (RFC 9110 section 11.5). None for that of the configuration, or `lbjwt`.
        json: Refuse with a problem document (RFC 9457) instead of a line of text.
        expose_reason: Tell clients why their token is refused. This helps developers, but also attackers.
        follow_routes: Let the routes of the verifier's configuration decide if nothing is asked for here.

    Raises:
        ConfigurationError: An invalid value; token locations for a verifier whose configuration has them.
    """

    def __init__(
        self,
        verifier: Verifier,
        *,
        scopes: Iterable[str] = (),
        any_scope: Iterable[str] = (),
        audiences: Iterable[str] = (),
        rules: Iterable[Mapping[str, Any]] = (),
        optional: bool = False,
        public: Iterable[str] = (),
        public_prefixes: Iterable[str] = (),
        from_headers: Iterable[Mapping[str, Any]] | None = None,
        from_cookies: Iterable[str] = (),
        from_params: Iterable[str] = (),
        from_subprotocol: bool = False,
        end_streams: bool = True,
        realm: str | None = None,
        json: bool = False,
        expose_reason: bool = False,
        follow_routes: bool = True,
    ) -> None:
        self.verifier = verifier
        self._generation = verifier.generation
        self._following = threading.Lock()
        self._own_routes: tuple[RouteSection, ...] | None = None
        application = section_of(
            RouteSection,
            {
                "name": "application",
                "audiences": listed("audiences", audiences),
                "scopes": {"all": listed("scopes", scopes), "any": listed("any_scope", any_scope)},
                "rules": list(rules),
                "allow_missing": optional,
                "end_streams": end_streams,
                "realm": realm,
                "refusals": {"format": "json" if json else "text", "expose_reason": expose_reason},
            },
        )
        routes = [application]
        for kind, paths in (("path", listed("public", public)), ("prefix", listed("public_prefixes", public_prefixes))):
            for at, path in enumerate(paths):
                routes.append(section_of(RouteSection, {"name": f"public-{kind}-{at}", "public": True, kind: path}))
        cookies, params = listed("from_cookies", from_cookies), listed("from_params", from_params)
        elsewhere = bool(from_headers is not None or cookies or params or from_subprotocol)
        configuration = verifier.configuration
        if configuration is None:
            places = Issuer.model_construct(
                from_headers=None
                if from_headers is None
                else tuple(section_of(FromHeader, one) for one in from_headers),
                from_cookies=tuple(section_of(FromCookie, {"name": name, "forward": True}) for name in cookies),
                from_params=tuple(section_of(FromParam, {"name": name, "forward": True}) for name in params),
                from_subprotocol=from_subprotocol,
            )
            self._use_alone(routes, places.token_locations(True))
        elif elsewhere:
            raise ConfigurationError(
                "this verifier has a configuration, which names the token locations: give from_… to its constructor, or write it into the file"
            )
        else:
            asks = len(routes) > 1 or application != RouteSection(name="application") or not follow_routes
            self._own_routes = tuple(routes) if asks else None
            self._follow(verifier.generation)

    def _follow(self, generation: int) -> None:
        """Decide by the configuration that the verifier has now."""
        configuration = self.verifier.configuration
        assert configuration is not None
        own = self._own_routes
        self._use(configuration if own is None else configuration.model_copy(update={"routes": own}))
        self._generation = generation

    def _current_reader(self) -> Reader:
        if self.verifier.generation != self._generation:
            with self._following:
                generation = self.verifier.generation
                if generation != self._generation:
                    self._follow(generation)
        return self._reader

    def _use(self, configuration: Configuration) -> None:
        """Decide as the balancer does with this configuration."""
        self._admission = new_admission(configuration, issuer_instances(configuration), self.verifier.gate)
        locations = [issuer.token_locations(True) for issuer in configuration.issuers.values()]
        self._read(configuration.routes, locations)

    def _use_alone(self, routes: Sequence[RouteSection], locations: TokenLocations) -> None:
        """Decide for a verifier whose issuers are no part of a configuration."""
        places = locations.token_places()
        made = []
        for route in routes:
            rules = route_rules(route.policy(None))
            demand = Demand([places], [None], None if rules.asks_nothing else rules)
            made.append(
                Route(
                    [] if route.public else [demand],
                    route_answers(route.realm or REALM, route.refusal_style({})),
                    strips=[places],
                    name=route.name,
                    allow_missing=route.allow_missing,
                    end_streams=route.end_streams,
                    expose_reason=route.refusals.expose_reason,
                )
            )
        self._admission = Admission(self.verifier.gate, made, router=Router([route.match for route in routes]))
        self._read(routes, [locations])

    def _read(self, routes: Sequence[RouteSection], locations: Sequence[TokenLocations]) -> None:
        """What of a request has to be read."""
        fields: set[str] = set()
        for one in locations:
            fields |= {name for name, _, _ in one.headers}
            fields |= {"Cookie"} if one.cookies else set()
            fields |= {"Sec-WebSocket-Protocol"} if one.subprotocol else set()
        redirects = any(route.refusals.redirect is not None for route in routes)
        routed = redirects or any(
            route.hosts or route.path or route.prefix or route.methods or route.resource for route in routes
        )
        in_query = any(one.params for one in locations)
        self._reader = Reader(self._admission, fields, routed=routed, query=in_query or redirects)

    def decide(
        self, method: str, path: str | bytes, query: bytes, fields: Iterable[tuple[bytes, bytes]], https: bool
    ) -> Decision:
        """
        Decide of one request. Waits for nothing: see `Decision.waits_for`.

        Args:
            method: As in the request line.
            path: Decoded, as the application routes by it.
            query: Without its question mark, not decoded.
            fields: Name and value of every header field. Names in any case.
            https: The client used TLS, for redirects.
        """
        decision = self._current_reader().decide(method, path, query, fields, https)
        if decision.is_logged:
            _log(decision)
        return decision

    def decide_scope(self, scope: MutableMapping[str, Any]) -> Decision:
        """`decide` of one request or WebSocket of an ASGI application, which its scope describes."""
        decision = self._current_reader().decide_scope(scope)
        if decision.is_logged:
            _log(decision)
        return decision

    def refusal(self, reason: DenyReason) -> Response:
        """The answer to a request whose token the application itself refuses, on a protection that has one route."""
        return _response_of(self._reader.refusal(reason))


def _log(decision: Decision) -> None:
    if decision.status:
        log.info("refused: %s", decision.reason.name.lower())
    else:
        log.info("would be refused, but is only reported: %s", decision.reported.name.lower())


def response_of(decision: Decision) -> Response:
    """The answer to a request that must not pass."""
    return _response_of(_error_answer(decision.status) if decision.answer is None else decision.answer)


@lru_cache(maxsize=32)
def _error_answer(status: int) -> Answer:
    return Answer(status, _TEXT, HTTPStatus(status).phrase.lower().encode("ascii") + b"\n")


def _response_of(answer: Answer) -> Response:
    fields = [(name.lower(), value) for name, value in answer.header_fields() if name != b"Server"]
    return Response(answer.status, tuple(fields), answer.body)


def listed(name: str, values: Iterable[str]) -> list[str]:
    """The values of an argument; ConfigurationError for one string, whose characters nobody means."""
    if isinstance(values, str):
        raise ConfigurationError(f"{name} must be a list of strings, not one string")
    return list(values)
