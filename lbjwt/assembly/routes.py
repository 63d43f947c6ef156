"""From the configured routes to an admission: what the requests of a route must have, and how they are refused."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from lbjwt.auth._places import TokenPlaces
from lbjwt.auth._route_rules import route_rules
from lbjwt.auth.refusals import RefusalStyle
from lbjwt.auth.resource import metadata_path
from lbjwt.config.cluster_choice import ClusterChoice as ClusterChoiceConfiguration
from lbjwt.config.relations import MAX_GROUPS
from lbjwt.config.route import Route as RouteConfiguration
from lbjwt.http1._answer import Answer
from lbjwt.proxy._admission import Admission
from lbjwt.proxy._cluster_choice import ByClaim, ClusterChoice, Split
from lbjwt.proxy._path_rewrite import PathRewrite
from lbjwt.proxy._route import Demand, Route
from lbjwt.proxy.answers import metadata_answer, route_answers
from lbjwt.routing._router import Router
from lbjwt.upstream._retry import RetryRule

if TYPE_CHECKING:
    from lbjwt._fastverify import Gate
    from lbjwt.assembly.issuers import IssuerInstance
    from lbjwt.config import model
    from lbjwt.observe._offenders import Offenders
    from lbjwt.upstream._cluster import Cluster


def new_admission(
    configuration: model.Configuration,
    instances: list[IssuerInstance],
    gate: Gate,
    offenders: Offenders | None = None,
    trusts: Callable[[str], bool] | None = None,
    clusters: Mapping[str, Cluster] | None = None,
    rows: Mapping[str, int] | None = None,
) -> Admission:
    """
    What every request of the configuration meets.

    Args:
        clusters: By name; None where nothing is forwarded.
        rows: Where requests of each route are counted, by its name; None: nowhere.
    """

    def cluster_of(name: str | None) -> Cluster | None:
        return clusters[name or configuration.only_cluster] if clusters else None

    def choice_of(chosen: ClusterChoiceConfiguration, demands: list[Demand]) -> ClusterChoice:
        names = chosen.labels
        made = None if clusters is None else [clusters[name] for name in names]
        avoid = demands[0].number if demands else 0
        if chosen.split is not None:
            return Split(
                chosen.split, clusters=made, by_address=chosen.by_address, by_claim=chosen.by_claim, avoid=avoid
            )
        assert chosen.claim is not None and chosen.clusters is not None
        indexes = {text: names.index(name) for text, name in chosen.clusters.items()}
        default = None if chosen.default is None else names.index(chosen.default)
        return ByClaim(chosen.claim, names, indexes, clusters=made, default=default, avoid=avoid)

    maker = _Maker(configuration, instances)
    if not configuration.routes:
        scopes = tuple({scope: None for issuer in configuration.issuers.values() for scope in issuer.required_scopes})
        answers = route_answers(configuration.realm, RefusalStyle(scopes=scopes))
        return Admission(
            gate,
            [Route([maker.demand(instances)], answers, strips=maker.places, cluster=cluster_of(None))],
            offenders=offenders,
            trusts=trusts,
        )
    # Most routes refuse alike, and a table of answers takes a millisecond to make: at a reload that delays requests.
    answers_of = functools.cache(route_answers)
    routes: list[Route] = []
    documents: dict[bytes, int] = {}
    served: list[Answer] = []
    for route in configuration.routes:
        if route.resource is not None:
            path = metadata_path(route.resource.identifier).encode("ascii")
            if path not in documents:
                documents[path] = len(served)
                served.append(metadata_answer(route.metadata(configuration.issuers)))
        demands = maker.demands(route)
        one, several = (
            (None, route.cluster) if isinstance(route.cluster, ClusterChoiceConfiguration) else (route.cluster, None)
        )
        routes.append(
            Route(
                demands,
                answers_of(route.realm or configuration.realm, route.refusal_style(configuration.issuers)),
                strips=maker.places,
                name=route.name,
                index=-1 if rows is None else rows[route.name],
                cluster=cluster_of(one) if several is None else None,
                choice=choice_of(several, demands) if several is not None else None,
                rewrite=_path_rewrite(route),
                retry=_retry_rule(route),
                allow_missing=route.allow_missing,
                report_only=route.report_only,
                end_streams=route.end_streams,
                stream_grace=route.stream_grace,
                expose_reason=route.refusals.expose_reason,
                secret_places=maker.secret_places() if route.refusals.redirect is not None else (),
            )
        )
    router = Router([route.match for route in configuration.routes], documents)
    return Admission(gate, routes, router=router, documents=served, offenders=offenders, trusts=trusts)


def new_asked(configuration: model.Configuration, admission: Admission) -> Admission:
    """The admission of requests that another proxy forwards, as they were sent; the other one if no listener is asked."""
    asked = any(listener.authorize is not None for listener in configuration.listeners)
    if not asked or not configuration.routes:
        return admission
    return admission.with_router(Router([route.match for route in configuration.routes], as_sent=True))


def _retry_rule(route: RouteConfiguration) -> RetryRule:
    """When requests of the route are sent again, and how long they may take."""
    retry = route.retry
    return RetryRule(
        attempts=-1 if retry.attempts is None else retry.attempts,
        on=retry.on,
        try_timeout=-1.0 if retry.try_timeout is None else retry.try_timeout,
        timeout=-1.0 if route.timeout is None else route.timeout,
    )


def _path_rewrite(route: RouteConfiguration) -> PathRewrite | None:
    if route.rewrite is None:
        return None
    place, whole = route.place
    return PathRewrite(route.rewrite.template, replaced=-1 if whole else len(place.rstrip("/")))


class _Maker:
    """Makes demands: one `TokenPlaces` for all issuers whose tokens stand in the same places."""

    def __init__(self, configuration: model.Configuration, instances: list[IssuerInstance]) -> None:
        self._instances = instances
        of_instance = {one.index: one.issuer.token_locations(configuration.forward_token) for one in instances}
        self._places = {locations: locations.token_places() for locations in dict.fromkeys(of_instance.values())}
        self._of_instance = {index: self._places[locations] for index, locations in of_instance.items()}

    @property
    def places(self) -> list[TokenPlaces]:
        return list(self._places.values())

    def demands(self, route: RouteConfiguration) -> list[Demand]:
        if route.public:
            return []
        if route.require is not None and route.require.all_of is not None:
            return [self.demand(self._of([label]), route) for label in route.require.all_of]
        return [self.demand(self._instances if route.require is None else self._of(route.require.labels), route)]

    def secret_places(self) -> list[TokenPlaces]:
        """Every parameter that may hold a token of any issuer; a redirect hides also those that are forwarded to backends."""
        params = list({place.name: None for instance in self._instances for place in instance.issuer.from_params})
        groups = [params[at : at + MAX_GROUPS] for at in range(0, len(params), MAX_GROUPS)]
        return [TokenPlaces(params=[(name, False) for name in group]) for group in groups]

    def demand(self, issuers: list[IssuerInstance], route: RouteConfiguration | None = None) -> Demand:
        by_places: dict[TokenPlaces, set[int]] = {}
        for instance in issuers:
            by_places.setdefault(self._of_instance[instance.index], set()).add(instance.index)
        places = list(by_places)
        indexes = [frozenset(found) for found in by_places.values()]
        if route is not None:
            every = len(issuers) == len(self._instances)
            rules = route_rules(route.policy(None if every else frozenset(one.index for one in issuers)))
            if not rules.asks_nothing:
                return Demand(places, indexes, rules)
        return Demand(places, indexes)

    def _of(self, labels: tuple[str, ...] | list[str]) -> list[IssuerInstance]:
        return [instance for instance in self._instances if instance.label in labels]
