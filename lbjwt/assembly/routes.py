"""From the configured routes to an admission: which requests meet which demands, and how they are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from lbjwt.auth._places import TokenPlaces
from lbjwt.auth._route_rules import RouteRules
from lbjwt.auth.refusals import RefusalStyle
from lbjwt.auth.resource import ProtectedResource, metadata_document, metadata_path, metadata_url
from lbjwt.auth.route_policy import RoutePolicy, RouteRule
from lbjwt.auth.rules import OPERATORS, AllOf, AnyOf, ClaimRule, ClaimTest, Not
from lbjwt.config.route import Refusals, Resource
from lbjwt.config.route import Route as RouteConfiguration
from lbjwt.config.rule import Rule
from lbjwt.errors import ConfigurationError
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._answer import Answer
from lbjwt.proxy._route import Demand, Route
from lbjwt.proxy.answers import metadata_answer, route_answers
from lbjwt.routing._router import Router
from lbjwt.routing.table import RouteMatch

if TYPE_CHECKING:
    from lbjwt._fastverify import Gate
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.config import model
    from lbjwt.observe._offenders import Offenders

__all__ = ["claim_rule", "new_admission", "route_policy"]

MAX_GROUPS: Final = 32
"""Groups of places one token is looked for in, and places in a group; issuers with equal places share a group."""


def new_admission(
    configuration: model.Configuration,
    instances: list[IssuerInstance],
    gate: Gate,
    offenders: Offenders | None = None,
    trusts: Callable[[str], bool] | None = None,
) -> Admission:
    """
    What every request of the configuration meets.

    Raises:
        ConfigurationError: Routes that cannot be told apart, or a value that no single section could see to be wrong.
    """
    maker = _Maker(configuration, instances)
    if not configuration.routes:
        scopes = tuple({scope: None for issuer in configuration.issuers.values() for scope in issuer.required_scopes})
        answers = route_answers(configuration.realm, RefusalStyle(scopes=scopes))
        return Admission(
            gate, [Route([maker.demand(instances)], answers, strips=maker.places)], offenders=offenders, trusts=trusts
        )
    routes: list[Route] = []
    documents: dict[bytes, int] = {}
    served: list[Answer] = []
    for at, route in enumerate(configuration.routes):
        metadata: str | None = None
        if route.resource is not None:
            path = metadata_path(route.resource.identifier).encode("ascii")
            if path not in documents:
                documents[path] = len(served)
                served.append(metadata_answer(metadata_document(maker.resource(route, route.resource))))
            metadata = metadata_url(route.resource.identifier)
        style = _style(route, route.refusals, maker.scopes(route), metadata)
        routes.append(
            Route(
                maker.demands(route),
                route_answers(route.realm or configuration.realm, style),
                strips=maker.places,
                name=route.name,
                index=at,
                allow_missing=route.allow_missing,
                report_only=route.report_only,
                end_streams=route.end_streams,
                stream_grace=route.stream_grace,
                expose_reason=route.refusals.expose_reason,
                secret_places=maker.secret_places() if route.refusals.redirect is not None else (),
            )
        )
    router = Router(
        [RouteMatch(route.hosts, route.path, route.prefix, route.methods) for route in configuration.routes], documents
    )
    return Admission(gate, routes, router=router, documents=served, offenders=offenders, trusts=trusts)


class _Maker:
    """Makes demands, with one `TokenPlaces` for all issuers that are looked for in the same places, and a number for each set of rules."""

    def __init__(self, configuration: model.Configuration, instances: list[IssuerInstance]) -> None:
        self._configuration = configuration
        self._instances = instances
        self._places: dict[tuple[Any, ...], TokenPlaces] = {}
        for headers, cookies, params, subprotocol in dict.fromkeys(self._places_of(one.issuer) for one in instances):
            self._places[headers, cookies, params, subprotocol] = TokenPlaces(
                headers=headers, cookies=cookies, params=params, subprotocol=subprotocol
            )
        self._rules = 0

    @property
    def places(self) -> list[TokenPlaces]:
        """All of them, of every issuer."""
        return list(self._places.values())

    def demands(self, route: RouteConfiguration) -> list[Demand]:
        if route.public:
            return []
        if route.require is not None and route.require.all_of is not None:
            return [self.demand(self._of([label]), route) for label in route.require.all_of]
        return [self.demand(self._required(route), route)]

    def secret_places(self) -> list[TokenPlaces]:
        """Wherever any issuer's token may stand and is looked for in the target; a forwarded one is no less secret to strangers."""
        params = list({place.name: None for instance in self._instances for place in instance.issuer.from_params})
        groups = [params[at : at + MAX_GROUPS] for at in range(0, len(params), MAX_GROUPS)]
        return [TokenPlaces(params=[(name, False) for name in group]) for group in groups]

    def demand(self, issuers: list[IssuerInstance], route: RouteConfiguration | None = None) -> Demand:
        by_places: dict[tuple[Any, ...], set[int]] = {}
        for instance in issuers:
            by_places.setdefault(self._places_of(instance.issuer), set()).add(instance.index)
        if len(by_places) > MAX_GROUPS:
            where = "together the issuers" if route is None else f"the route {route.name}"
            raise ConfigurationError(
                f"{where} would look for tokens in more than {MAX_GROUPS} different groups of places"
            )
        rules = None
        if route is not None:
            every = len(issuers) == len(self._instances)
            rules = RouteRules(route_policy(route, None if every else frozenset(one.index for one in issuers)))
            if rules.asks_nothing:
                rules = None
        if rules is not None:
            self._rules += 1
        return Demand(
            [self._places[key] for key in by_places],
            [frozenset(found) for found in by_places.values()],
            rules,
            self._rules if rules else 0,
        )

    def scopes(self, route: RouteConfiguration) -> tuple[str, ...]:
        """What a client is told to ask for: the scopes of the route, and of the issuers that may open it."""
        issuers = [scope for instance in self._required(route) for scope in instance.issuer.required_scopes]
        return tuple(dict.fromkeys([*route.scopes.all, *route.scopes.any, *issuers]))

    def resource(self, route: RouteConfiguration, resource: Resource) -> ProtectedResource:
        issuers = self._required(route)
        return ProtectedResource(
            resource=resource.identifier,
            authorization_servers=resource.authorization_servers
            or tuple(
                dict.fromkeys(one.of_tenant(one.issuer.issuer) for one in issuers if one.issuer.issuer is not None)
            ),
            scopes_supported=resource.scopes_supported or self.scopes(route),
            bearer_methods_supported=tuple(
                sorted(frozenset[str]().union(*(one.issuer.bearer_methods for one in issuers)))
            ),
            resource_name=resource.name,
            resource_documentation=resource.documentation,
        )

    def _required(self, route: RouteConfiguration) -> list[IssuerInstance]:
        return self._instances if route.require is None else self._of(route.require.labels)

    def _of(self, labels: tuple[str, ...] | list[str]) -> list[IssuerInstance]:
        return [instance for instance in self._instances if instance.label in labels]

    def _places_of(self, issuer: model.Issuer) -> tuple[Any, ...]:
        forward = self._configuration.forward_token
        return (
            tuple((at.name, at.scheme, forward if at.forward is None else at.forward) for at in issuer.headers),
            tuple((at.name, at.forward) for at in issuer.from_cookies),
            tuple((at.name, at.forward) for at in issuer.from_params),
            issuer.from_subprotocol,
        )


def route_policy(route: RouteConfiguration, issuers: frozenset[int] | None) -> RoutePolicy:
    """What a route asks of a verified token."""
    return RoutePolicy(
        name=route.name,
        issuers=issuers,
        audiences=route.audiences or None,
        scopes_all=route.scopes.all,
        scopes_any=route.scopes.any,
        rules=tuple(RouteRule(claim_rule(rule), rule.report_only, rule.name or "") for rule in route.rules),
    )


def claim_rule(rule: Rule) -> ClaimRule:
    """A configured rule as a value."""
    if rule.all is not None:
        return AllOf(tuple(claim_rule(inner) for inner in rule.all))
    if rule.any is not None:
        return AnyOf(tuple(claim_rule(inner) for inner in rule.any))
    if rule.not_ is not None:
        return Not(claim_rule(rule.not_))
    assert rule.claim is not None
    ((operator, operand),) = ((name, value) for name in OPERATORS if (value := getattr(rule, name)) is not None)
    if operator == "exists":
        test = ClaimTest(rule.claim, "exists")
        return test if operand else Not(test)
    return ClaimTest(rule.claim, operator, operand)


def _style(
    route: RouteConfiguration, refusals: Refusals, scopes: tuple[str, ...], metadata: str | None
) -> RefusalStyle:
    return RefusalStyle(
        json=refusals.format == "json",
        expose_reason=refusals.expose_reason,
        statuses=refusals.statuses,
        redirect=refusals.redirect,
        resource_metadata=metadata,
        scopes=scopes,
    )
